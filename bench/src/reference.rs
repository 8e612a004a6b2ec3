//! The reference programs that Stampede is compared with: redis-benchmark and Nginx.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use stampede_tests::{Process, eventually, free_port, program};

/// One call of the reserve script, exactly as the function made it.
#[derive(Clone, Debug)]
pub struct ScriptCall {
    words: Vec<String>,
}

/// Reads every command that Redis gets, with `MONITOR`.
pub struct Monitor {
    stream: BufReader<TcpStream>,
}

impl Monitor {
    pub fn start(port: u16) -> anyhow::Result<Monitor> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut monitor = Monitor { stream: BufReader::new(stream) };
        let mut reply = String::new();
        monitor.stream.read_line(&mut reply)?;
        ensure!(reply.starts_with("+OK"), "the reply to MONITOR is `{}`", reply.trim());
        Ok(monitor)
    }

    /// Waits for the next EVALSHA that has this word among its arguments.
    pub fn script_call_naming(&mut self, word: &str) -> anyhow::Result<ScriptCall> {
        loop {
            let mut line = String::new();
            let count = self.stream.read_line(&mut line).context("no script was called")?;
            ensure!(count > 0, "Redis closed the connection");
            let words = quoted_words(&line);
            let is_call = words.first().is_some_and(|command| command.eq_ignore_ascii_case("evalsha"));
            if is_call && words.iter().any(|candidate| candidate == word) {
                return Ok(ScriptCall { words });
            }
        }
    }
}

/// The words of a line such as `+1700000000.1 [0 127.0.0.1:1] "EVALSHA" "…"`. Escapes are not decoded, because our words
/// have none.
fn quoted_words(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

impl ScriptCall {
    /// The key with this number. Numbers begin with 1, as in the script.
    pub fn key(&self, number: usize) -> &str {
        &self.words[2 + number]
    }

    /// Makes a call for another shopper each time: replaces each of `words` by a placeholder for a random number.
    pub fn with_random(mut self, words: &[&str]) -> ScriptCall {
        for word in &mut self.words {
            for given in words {
                if !given.is_empty() && word.contains(given) {
                    // Two placeholders, because one has only 31 random bits. Of 200,000 shoppers, some would be the same.
                    *word = word.replace(given, "__rand_int____rand_int__");
                }
            }
        }
        self
    }

    /// Makes the argument with this number random, too. Numbers begin with 1, as in the script.
    pub fn with_random_argument(mut self, number: usize) -> ScriptCall {
        let keys: usize = self.words[2].parse().unwrap_or_default();
        if let Some(word) = self.words.get_mut(2 + keys + number)
            && !word.is_empty()
        {
            *word = "__rand_int__".to_owned();
        }
        self
    }
}

/// The number of calls per second that redis-benchmark makes, without pipelining.
pub fn redis_benchmark(
    port: u16,
    connections: usize,
    calls: usize,
    call: &ScriptCall,
) -> anyhow::Result<f64> {
    let output = Command::new(program("redis-benchmark"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "--csv"])
        .args(["-c", &connections.to_string(), "-n", &calls.to_string(), "-r", "2000000000"])
        .args(&call.words)
        .stdin(Stdio::null())
        .output()
        .context("cannot run redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // The header names the columns. Count them from the right, because the first one, the command, contains commas.
    let header: Vec<&str> =
        text.lines().find(|line| line.starts_with("\"test\"")).unwrap_or_default().split(',').collect();
    let from_right = header
        .len()
        .checked_sub(1)
        .and_then(|last| header.iter().position(|column| *column == "\"rps\"").map(|at| last - at));
    let result = text.lines().last().unwrap_or_default();
    let rate = from_right
        .and_then(|at| result.rsplit(',').nth(at))
        .and_then(|cell| cell.trim_matches('"').parse().ok());
    rate.with_context(|| {
        format!("redis-benchmark printed `{}` {}", text.trim(), String::from_utf8_lossy(&output.stderr))
    })
}

/// An Nginx that serves one file from memory.
pub struct Nginx {
    process: Process,
    pub address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to end, the master takes its workers with it; killed, it would leave them behind.
        self.process.signal_to_end(Duration::from_secs(5));
    }
}

impl Nginx {
    /// Serves `bytes` at `/` as HTML.
    pub async fn start(folder: &Path, bytes: &[u8]) -> anyhow::Result<Nginx> {
        let root = folder.join("nginx");
        std::fs::create_dir_all(root.join("html"))?;
        std::fs::write(root.join("html/index.html"), bytes)?;
        let port = free_port();
        let path = root.to_str().context("the folder's name is not UTF-8")?;
        let configuration = format!(
            "worker_processes auto;\ndaemon off;\npid {path}/nginx.pid;\nerror_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  default_type text/html;\n  sendfile on;\n  tcp_nodelay on;\n\
             keepalive_requests 100000000;\n  open_file_cache max=16 inactive=1h;\n\
             client_body_temp_path {path}/t1;\n  proxy_temp_path {path}/t2;\n  fastcgi_temp_path {path}/t3;\n\
             uwsgi_temp_path {path}/t4;\n  scgi_temp_path {path}/t5;\n\
             server {{ listen 127.0.0.1:{port}; root {path}/html; }}\n}}\n"
        );
        // If Nginx runs as root, its workers run as another user, who must be able to read the files.
        make_readable(folder)?;
        std::fs::write(root.join("nginx.conf"), configuration)?;
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(&root).arg("-c").arg(root.join("nginx.conf"));
        let mut process = Process::start(&mut command, &root.join("output.log"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("Nginx serves", Duration::from_secs(10), async || {
            assert!(process.ended().is_none(), "Nginx ended: {}", process.last_words());
            TcpStream::connect(address).ok()
        })
        .await;
        Ok(Nginx { process, address })
    }
}

fn make_readable(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_the_output_of_monitor_is_read_and_made_random() {
        let line = "+1700000000.1 [0 127.0.0.1:1] \"EVALSHA\" \"abc\" \"2\" \"{i:0}:lane\" \"{i:0}:users\" \"\" \"u-1\" \"tail\" \"c\"";
        let call = ScriptCall { words: quoted_words(line) };
        assert_eq!(call.key(2), "{i:0}:users");
        let random = call.with_random(&["u-1"]).with_random_argument(4);
        assert_eq!(random.words[5..], ["", "__rand_int____rand_int__", "tail", "__rand_int__"]);
    }
}
