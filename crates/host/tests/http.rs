//! Requests and responses, the options that protect the host, instances, shutdown.

use std::time::{Duration, Instant};

use testkit::Signal;

use crate::support::{Application, Client, Host, eventually};

fn host(options: &[&str]) -> Host {
    Application::web("").with(options).start()
}

/// Sends the same request `count` times at once. Returns the status and body of each response.
fn at_once(host: &Host, count: usize, path: &str) -> Vec<(u16, String)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| host.get(path))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .map(|response| (response.status, response.body))
            .collect()
    })
}

#[test]
fn a_component_gets_its_route_in_headers_that_a_client_can_not_forge() {
    let source = crate::support::guest("web");
    let host = Application::new(&format!(
        "[[trigger.http]]\nroute = \"/shop/:item/...\"\ncomponent = \"web\"\n\
         [component.web]\nsource = '{}'\n",
        source.display()
    ))
    .start();
    let forged = [("spin-path-info", "/forged"), ("Spin-Anything", "forged"), ("x-own", "kept")];
    let response = host.client().request("GET", "/shop/i7/a/b?c=d", &forged, "");
    let lines: Vec<&str> = response.body.lines().collect();
    for expected in [
        "spin-full-url=http://test.example/shop/i7/a/b?c=d",
        "spin-path-info=/a/b",
        "spin-matched-route=/shop/:item/...",
        "spin-raw-component-route=/shop/:item/...",
        "spin-component-route=/shop/:item",
        "spin-base-path=/",
        "spin-path-match-item=i7",
        "x-own=kept",
    ] {
        assert!(lines.contains(&expected), "{expected} in {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("spin-client-addr=127.0.0.1:")), "{lines:?}");
    assert!(!response.body.contains("forged"), "{lines:?}");
    assert_eq!(host.get("/elsewhere").problem("not-found"), 404);
}

#[test]
fn a_small_response_comes_in_one_piece_and_a_large_one_is_streamed() {
    let host = host(&[]);
    let mut client = host.client();
    // On a busy machine the end of a response may take too long, so that it comes in two pieces. Then try again.
    eventually("a response in one piece", || {
        client.send("GET", "/constant", &[], "");
        let packet = client.next_packet();
        if packet.contains("content-length: 8\r\n") && packet.ends_with("\r\n\r\nconstant") {
            return Some(());
        }
        client = host.client();
        None
    });

    let large = client.get("/large?1000000");
    assert_eq!((large.status, large.body.len()), (200, 1_000_000));
    // The connection can still be used.
    assert_eq!(client.get("/constant").body, "constant");
}

#[test]
fn a_body_a_head_request_and_an_empty_response_are_passed_on() {
    let host = host(&[]);
    assert_eq!(host.post("/echo", "価格 9900"), "価格 9900");
    assert_eq!(host.text("/uri?a=b"), "http://test.example/uri?a=b");
    let mut client = host.client();
    let head = client.request("HEAD", "/constant", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(client.get("/status?204").status, 204);
    assert_eq!(client.get("/status?418").status, 418);
}

#[test]
fn a_body_that_is_too_large_is_refused_whether_announced_or_not() {
    let host = host(&["--max-body-bytes", "1000"]);
    assert_eq!(host.post("/length", &"x".repeat(1000)), "1000");
    let mut client = host.client();
    let response = client.request("POST", "/length", &[("x-request-id", "mine-1")], &"x".repeat(1001));
    assert_eq!(response.problem("too-large"), 413);
    assert_eq!(response.header("x-request-id"), Some("mine-1"));

    let mut client = host.client();
    client.write(b"POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.write(format!("{:x}\r\n{}\r\n", 500, "x".repeat(500)).as_bytes());
    }
    client.write(b"0\r\n\r\n");
    assert_eq!(client.read(false).problem("too-large"), 413);

    // The client asks before it sends, and the host refuses.
    let mut client = host.client();
    client
        .write(b"POST /length HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 99999\r\n\r\n");
    assert_eq!(client.read(false).problem("too-large"), 413);
}

#[test]
fn a_client_that_sends_too_slowly_gets_408() {
    let host = host(&["--read-timeout", "400ms"]);
    let mut client = host.client();
    client.write(b"POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(client.read(false).problem("request-timeout"), 408);
    let mut client = host.client();
    client.write(b"GET /constant HTTP/1.1\r\nhost: ");
    assert_eq!(client.read(false).problem("request-timeout"), 408);
    assert!(client.is_closed());
    // A connection between two requests has more time.
    let mut client = host.client();
    client.get("/constant");
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(client.get("/constant").status, 200);
}

#[test]
fn a_request_that_is_not_http_gets_a_problem_document() {
    let host = host(&[]);
    for (request, slug, status) in [
        ("nonsense\r\n\r\n".to_owned(), "malformed-request", 400),
        ("GET / HTTP/1.1\r\nbroken header\r\nhost: a\r\n\r\n".to_owned(), "malformed-request", 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "malformed-request", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), "malformed-request", 400),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(200_000)), "head-too-large", 431),
    ] {
        let mut client = host.client();
        client.write(request.as_bytes());
        let response = client.read(false);
        assert_eq!(response.problem(slug), status);
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{response:?}");
        let policy = response.header("content-security-policy");
        assert!(policy.is_some_and(|policy| policy.contains("default-src 'none'")), "{response:?}");
    }
    assert_eq!(host.text("/constant"), "constant");
}

#[test]
fn a_component_that_takes_too_long_is_ended_even_if_it_only_computes() {
    let host = host(&["--request-timeout", "500ms"]);
    for path in ["/sleep?20000", "/busy"] {
        let start = Instant::now();
        assert_eq!(host.get(path).problem("unavailable"), 503, "{path}");
        let took = start.elapsed();
        assert!((Duration::from_millis(450)..Duration::from_secs(15)).contains(&took), "{path}: {took:?}");
        assert_eq!(host.text("/constant"), "constant");
    }
}

#[test]
fn a_trap_fails_only_its_own_requests_and_is_logged() {
    let host = host(&[]);
    for path in ["/trap", "/panic"] {
        assert_eq!(host.get(path).problem("unavailable"), 503);
        assert_eq!(host.text("/constant"), "constant");
    }
    eventually("the trap is logged", || host.process.stderr().contains("an instance ended").then_some(()));
    // The guest's last words are shown.
    host.expect_log("as asked");
}

#[test]
fn an_instance_can_not_use_more_memory_than_allowed() {
    let host = host(&["--max-instance-memory", "20000000"]);
    assert_eq!(host.text("/memory?1000000"), "1000000");
    assert_eq!(host.get("/memory?30000000").problem("unavailable"), 503);
    assert_eq!(host.text("/constant"), "constant");
}

#[test]
fn more_requests_at_once_than_allowed_get_503_without_waiting() {
    let host = host(&["--max-concurrency", "4"]);
    let responses = at_once(&host, 12, "/sleep?1500");
    let count = |wanted| responses.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!(count(200) + count(503), 12, "{responses:?}");
    assert!((4..12).contains(&count(200)), "{responses:?}");
    assert_eq!(host.text("/constant"), "constant");
}

#[test]
fn clients_that_send_slowly_do_not_keep_others_out() {
    let host = host(&["--max-concurrency", "2", "--read-timeout", "30s"]);
    let mut slow: Vec<_> = (0..5).map(|_| host.client()).collect();
    for client in &mut slow {
        client.write(b"POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    }
    assert_eq!(host.text("/constant"), "constant");
    slow[0].write(b"-later");
    assert_eq!(slow[0].read(false).body, "10");
}

#[test]
fn a_body_counts_as_memory_only_as_it_arrives() {
    let host = host(&["--max-body-bytes", "1000", "--max-buffered-bytes", "1500", "--read-timeout", "30s"]);
    let mut silent: Vec<_> = (0..5).map(|_| host.client()).collect();
    for client in &mut silent {
        client.write(b"POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n");
    }
    assert_eq!(host.post("/length", &"x".repeat(400)), "400");
    // A client that has sent nearly all of its body leaves no room for another. The body before may still count.
    silent[0].write("x".repeat(999).as_bytes());
    eventually("a body that does not fit", || {
        let response = host.client().request("POST", "/length", &[], &"x".repeat(900));
        (response.status == 503).then(|| response.problem("unavailable"))
    });
    silent[0].write(b"x");
    assert_eq!(silent[0].read(false).body, "1000");
    eventually("there is room again", || {
        let response = host.client().request("POST", "/length", &[], &"x".repeat(900));
        (response.status == 200).then_some(())
    });
}

#[test]
fn a_body_counts_as_memory_until_its_component_has_read_it() {
    let host = host(&["--max-body-bytes", "1000", "--max-buffered-bytes", "1500"]);
    // The path `/sleep` never reads its body. If it has slept before the other body comes, send another.
    let asleep = eventually("a body that does not fit", || {
        let mut asleep = host.client();
        asleep.send("POST", "/sleep?2000", &[], &"x".repeat(1000));
        let response = host.client().request("POST", "/length", &[], &"x".repeat(900));
        (response.status == 503).then(|| {
            response.problem("unavailable");
            asleep
        })
    });
    drop(asleep);
    eventually("there is room again", || {
        let response = host.client().request("POST", "/length", &[], &"x".repeat(900));
        (response.status == 200).then_some(())
    });
}

#[test]
fn idle_connections_are_closed_for_clients_that_wait() {
    let host = host(&["--max-connections", "3"]);
    let mut idle: Vec<_> = (0..3).map(|_| host.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/constant").body, "constant");
    }
    // This client waits until one of them has been silent for two seconds, not for 75.
    assert_eq!(host.text("/constant"), "constant");
    assert!(idle.iter_mut().all(Client::is_closed));
}

#[test]
fn a_client_that_does_not_read_its_response_is_disconnected() {
    let host = host(&["--max-concurrency", "1", "--read-timeout", "400ms"]);
    let mut deaf = host.client();
    deaf.send("GET", "/large?50000000", &[], "");
    eventually("the deaf client's place is free again", || {
        (host.get("/constant").status == 200).then_some(())
    });
}

#[test]
fn a_request_counts_as_in_work_until_it_ends_even_if_its_client_leaves() {
    let host = host(&["--max-concurrency", "1"]);
    // If `/constant` is served first, it may keep the sleeping request out. Then send another.
    let leaving = eventually("the request is in work", || {
        let mut leaving = host.client();
        leaving.send("GET", "/sleep?1500", &[], "");
        (host.get("/constant").status == 503).then_some(leaving)
    });
    drop(leaving);
    assert_eq!(host.get("/constant").problem("unavailable"), 503);
    eventually("the request has ended", || (host.get("/constant").status == 200).then_some(()));
}

#[test]
fn an_instance_serves_only_so_many_requests() {
    let host = host(&["--max-instance-reuse-count", "3", "--idle-instance-timeout", "60s"]);
    let mut client = host.client();
    let counts: Vec<String> = (0..7).map(|_| client.get("/counted").body).collect();
    assert_eq!(counts, ["1", "2", "3", "1", "2", "3", "1"]);
}

#[test]
fn an_instance_serves_only_so_many_requests_at_once() {
    let host = host(&["--max-instance-concurrent-reuse-count", "4", "--idle-instance-timeout", "60s"]);
    let responses = at_once(&host, 24, "/at-once");
    let together: Vec<u32> = responses.iter().map(|(_, body)| body.parse().unwrap()).collect();
    assert!(together.iter().all(|count| (1..=4).contains(count)), "{together:?}");
    assert!(together.contains(&4), "{together:?}");
}

#[test]
fn an_idle_instance_is_dropped() {
    let host = host(&["--idle-instance-timeout", "2s"]);
    let mut client = host.client();
    assert_eq!(client.get("/counted").body, "1");
    assert_eq!(client.get("/counted").body, "2");
    // The host checks at least once in the idle timeout, so the instance ends within two of them.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(client.get("/counted").body, "1");
}

#[test]
fn a_line_that_a_guest_prints_is_marked_unless_it_is_json() {
    let host = host(&[]);
    host.text("/print");
    eventually("the lines", || {
        let said = host.process.stderr();
        (said.contains("[web] a plain line\n") && said.contains("\n{\"structured\":true}\n")).then_some(())
    });
}

#[test]
fn a_signal_lets_running_requests_finish_and_takes_no_new_ones() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut host = host(&[]);
        let mut idle = host.client();
        idle.get("/constant");
        let mut client = host.client();
        client.send("GET", "/sleep?1500", &[], "");
        // When a later request has its response, this one is in work.
        host.text("/constant");
        std::thread::sleep(Duration::from_millis(200));
        host.process.signal(signal);
        eventually("the port is closed", || {
            std::net::TcpStream::connect(&host.address).is_err().then_some(())
        });
        assert_eq!(client.read(false).body, "slept");
        assert!(idle.is_closed());
        assert_eq!(host.wait().code(), Some(0));
    }
}

#[test]
fn requests_that_outlast_the_drain_timeout_do_not_keep_the_host_running() {
    let mut host = host(&["--drain-timeout", "300ms"]);
    let mut client: Client = host.client();
    client.send("GET", "/sleep?20000", &[], "");
    host.text("/constant");
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    host.process.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));
}
