//! `cargo xtask up` as a newcomer meets it: one command, two lines, a shop.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};
use stampede_tests::{Client, Item, Process, Shopper, Signal, checkout, eventually, free_port};
use tempfile::TempDir;

/// A running `cargo xtask up`.
struct Door {
    process: Process,
}

/// What it printed when it was ready.
struct Opened {
    base: String,
    token: String,
}

impl Door {
    fn open(data: &Path, listen: &str) -> Door {
        let binary = checkout().join("target/debug/xtask");
        assert!(binary.is_file(), "{} is not built; run `cargo xtask test`", binary.display());
        let mut command = Command::new(binary);
        command
            .args([
                "up",
                "--listen",
                listen,
                "--set",
                "captcha_kind=off",
                "--set",
                "rate_limits=off",
                "--data",
            ])
            .arg(data)
            .current_dir(checkout())
            .env("CI", "true");
        Door { process: Process::start_with_outputs_apart(&mut command) }
    }

    /// Waits for the two lines that the contract promises.
    async fn ready(&mut self) -> Opened {
        // The first start may compile components to machine code.
        let output = eventually("`up` has printed two lines", Duration::from_secs(300), async || {
            let has_ended = self.process.ended().is_some();
            assert!(!has_ended, "`up` is not ready:\n{}", self.process.stderr());
            let output = self.process.stdout();
            (output.matches('\n').count() >= 2).then_some(output)
        })
        .await;
        let mut lines = output.lines();
        let mut next = |prefix: &str| -> String {
            let line = lines.next().unwrap();
            match line.strip_prefix(prefix) {
                Some(value) => value.to_owned(),
                None => panic!("`up` printed `{line}` instead of `{prefix}…`"),
            }
        };
        let base = next("Ready: ");
        let token = next("Operator token: ");
        Opened { base, token }
    }

    /// Its exit code, and what it wrote to standard error.
    async fn ended(mut self) -> (Option<i32>, String) {
        let status = eventually("`up` ends", Duration::from_secs(60), async || self.process.ended()).await;
        (status.code(), self.process.stderr())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // `up` takes its servers with it; after SIGKILL they would stay.
        self.process.signal_to_end(Duration::from_secs(60));
    }
}

async fn open_item(client: &Client) -> Item {
    let sales = client.get("/api/sales").send().await.expect(200);
    let items = sales["sales"].as_array().unwrap().iter().flat_map(|sale| sale["items"].as_array().unwrap());
    let item =
        items.clone().find(|item| item["state"] == "open").unwrap_or_else(|| panic!("none open: {sales}"));
    Item {
        id: item["id"].as_str().unwrap().to_owned(),
        sale_id: item["sale_id"].as_str().unwrap_or_default().to_owned(),
    }
}

#[tokio::test]
async fn up_opens_a_shop_that_survives_kills_and_is_found_again() {
    let data = TempDir::with_prefix("stampede-door-").unwrap();
    let mut door = Door::open(data.path(), "127.0.0.1:0");
    let opened = door.ready().await;
    let client = Client::new(&opened.base);

    // The demo has items in every state that a visitor should see.
    let sales = client.get("/api/sales?page_size=100").send().await.expect(200);
    let states: Vec<&str> = sales["sales"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|sale| sale["items"].as_array().unwrap())
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    assert!(states.len() >= 8, "{states:?}");
    for state in ["upcoming", "open", "paused", "sold_out", "ended"] {
        assert!(states.contains(&state), "nothing is {state} in {states:?}");
    }
    client.bearing(&opened.token).get("/api/admin/sales").send().await.expect(200);

    // A purchase goes on although the application is killed in the middle of it.
    let item = open_item(&client).await;
    let shopper = Shopper::arrive(&client).await;
    let reservation = shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.json();
    let pid = std::fs::read_to_string(data.path().join("runtime.pid")).unwrap();
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    let held = shopper.result(&reservation).await;
    assert_eq!(held["state"], "held");
    let order = shopper.checkout(&held).await.expect(201);

    door.process.signal(Signal::INT);
    let (code, said) = door.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains('\x1b'), "colours in CI: {said}");

    // The second time everything is as it was left, the operator's token too.
    let mut door = Door::open(data.path(), "127.0.0.1:0");
    let again = door.ready().await;
    assert_eq!(again.token, opened.token);
    let client = Client::new(&again.base);
    let orders: Value = client.bearing(shopper.token()).get("/api/orders").send().await.expect(200);
    assert_eq!(orders["orders"][0]["id"], order["id"], "{orders}");
    let after = client.get("/api/sales?page_size=100").send().await.expect(200);
    assert_eq!(after["total"], sales["total"], "the demo was published twice");
    door.process.signal(Signal::TERM);
    assert_eq!(door.ended().await.0, Some(0));
}

#[tokio::test]
async fn up_refuses_a_folder_or_a_port_in_use_in_one_line() {
    let data = TempDir::with_prefix("stampede-door-").unwrap();
    let mut door = Door::open(data.path(), &format!("127.0.0.1:{}", free_port()));
    let opened = door.ready().await;

    let (code, said) = Door::open(data.path(), "127.0.0.1:0").ended().await;
    assert_eq!(code, Some(1));
    assert!(
        said.trim().starts_with("error: another `up` is using") && said.trim().lines().count() == 1,
        "{said}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TempDir::with_prefix("stampede-door-").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = Door::open(other.path(), &address).ended().await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&address) && said.contains("in use") && said.trim().lines().count() == 1, "{said}");

    // The first one goes on as before.
    Client::new(&opened.base).get("/healthz").send().await.expect(200);
    door.process.signal(Signal::TERM);
    assert_eq!(door.ended().await.0, Some(0));
}
