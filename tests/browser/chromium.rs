//! Chromium without a window, for one test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{ClientBuilder, Locator};
use serde_json::{Value, json};
use stampede_tests::{Process, eventually, free_port, program, screenshots};
use tempfile::TempDir;

/// How long a page may take to reach a step; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser of a test's own, with an empty profile.
pub struct Chromium {
    page: fantoccini::Client,
    port: u16,
    // Its profile is deleted after it.
    _driver: Process,
    _folder: TempDir,
}

impl Drop for Chromium {
    /// Asks chromedriver to end, which ends the browser; a killed chromedriver would leave it behind.
    fn drop(&mut self) {
        let ask = || -> std::io::Result<()> {
            let mut driver = TcpStream::connect(("127.0.0.1", self.port))?;
            driver.set_read_timeout(Some(PATIENCE))?;
            write!(driver, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            // It answers, and closes the connection when it has ended.
            driver.read_to_end(&mut Vec::new()).map(drop)
        };
        // It may be gone already, and a test that failed has said so.
        let _ = ask();
    }
}

impl Chromium {
    pub async fn start() -> Chromium {
        let folder = TempDir::with_prefix("stampede-chromium-").unwrap();
        let port = free_port();
        let mut command = Command::new(program("chromedriver"));
        command.arg(format!("--port={port}"));
        let mut driver = Process::start(&mut command, &folder.path().join("chromedriver.log"));
        let profile = folder.path().join("profile");
        let arguments = [
            "--headless",
            // Chromium has no sandbox for root, which is what CI runs as.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            // A test talks to its own server and to nobody else.
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-US",
            "--window-size=1200,1000",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let options = json!({
            "binary": program("chromium"),
            "args": arguments,
        });
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let address = format!("http://127.0.0.1:{port}");
        let page = eventually("Chromium starts", PATIENCE, async || {
            assert!(driver.ended().is_none(), "chromedriver ended: {}", driver.last_words());
            ClientBuilder::new(hyper_connector())
                .capabilities(capabilities.clone())
                .connect(&address)
                .await
                .ok()
        })
        .await;
        Chromium { page, port, _driver: driver, _folder: folder }
    }

    pub async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    pub async fn reload(&self) {
        self.page.refresh().await.unwrap();
    }

    /// The browser's back button.
    pub async fn back(&self) {
        self.page.back().await.unwrap();
    }

    pub async fn url(&self) -> String {
        self.page.current_url().await.unwrap().to_string()
    }

    /// Where the purchase stands, as the page says of itself.
    pub async fn step(&self) -> String {
        let script = "return document.body?.dataset.step ?? ''";
        let step = self.page.execute(script, Vec::new()).await.unwrap_or(Value::Null);
        step.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page is at one of these steps.
    pub async fn wait_for_step(&self, steps: &[&str]) -> String {
        let mut last = String::new();
        eventually(&format!("the page is at {steps:?}"), PATIENCE, async || {
            let step = self.step().await;
            if step != last {
                last.clone_from(&step);
            }
            steps.contains(&step.as_str()).then_some(step)
        })
        .await
    }

    /// Waits for an element.
    pub async fn find(&self, selector: &str) -> Element {
        eventually(&format!("`{selector}` is on the page"), PATIENCE, async || {
            self.page.find(Locator::Css(selector)).await.ok()
        })
        .await
    }

    /// Clicks as soon as it can be clicked.
    pub async fn click(&self, selector: &str) {
        eventually(&format!("`{selector}` can be clicked"), PATIENCE, async || {
            let element = self.page.find(Locator::Css(selector)).await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        self.page.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// The id of what has the focus.
    pub async fn focused(&self) -> String {
        self.run("return document.activeElement?.id ?? ''").await.as_str().unwrap_or_default().to_owned()
    }

    /// What a script in the page returns.
    pub async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }

    /// Makes the window as small as a phone.
    pub async fn shrink(&self) {
        self.page.set_window_size(390, 844).await.unwrap();
    }

    /// What stands in an input.
    pub async fn value(&self, selector: &str) -> String {
        self.find(selector).await.prop("value").await.unwrap().unwrap_or_default()
    }

    pub async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    /// Leaves a picture under target/screenshots/, for people.
    pub async fn picture(&self, name: &str) {
        let png = self.page.screenshot().await.unwrap();
        std::fs::write(screenshots().join(format!("{name}.png")), png).unwrap();
    }
}

/// The connection to chromedriver: plain HTTP on the loopback.
fn hyper_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}
