use stampede_tests::{Client, ItemTerms, Wire, WireResponse, World, crowd};

/// One connection, these bytes, and all that came back until the host closed it.
async fn tell(world: &World, bytes: impl AsRef<[u8]>) -> Vec<WireResponse> {
    let mut wire = Wire::open(&world.host.base()).await;
    wire.send(bytes).await;
    wire.responses().await
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{headers}\r\n")
}

fn assert_harmless(what: &str, responses: &[WireResponse]) {
    for response in responses {
        assert!(response.status < 500, "{what:?}: {response:?}");
    }
}

#[tokio::test]
async fn no_header_comes_back_as_another_header() {
    let (world, item) = World::selling(5).await;
    let values: [&[u8]; 14] = [
        b"a%0d%0aevil: 1",
        b"a%E5%98%8D%E5%98%8Aevil: 1",
        b"a\\r\\nevil: 1",
        b"a\revil: 1",
        b"a\nevil: 1",
        b"a\r\n evil: 1",
        b"a\0evil: 1",
        b"a\x0bevil: 1",
        b"a\x80\xffevil",
        b"a\"evil\"",
        b"<evil>",
        b"",
        b"evil.example:80, evil.example",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-evil",
    ];
    let names = [
        "x-request-id",
        "traceparent",
        "tracestate",
        "host",
        "origin",
        "referer",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "spin-full-url",
        "spin-client-addr",
        "if-none-match",
        "accept",
        "accept-encoding",
        "cookie",
        "user-agent",
        "range",
        "expect",
        "content-type",
    ];
    for path in
        ["/".to_owned(), "/api/sales".to_owned(), format!("/api/items/{}", item.id), "/api/orders".to_owned()]
    {
        for name in names {
            for value in values {
                let mut request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n").into_bytes();
                if name != "host" {
                    request.extend(b"host: shop.example\r\n");
                }
                request.extend([name.as_bytes(), b": ", value, b"\r\n\r\n"].concat());
                let what = format!("{name}: {}", String::from_utf8_lossy(value));
                let responses = tell(&world, request).await;
                assert!(responses.len() <= 1, "{what:?}: {responses:?}");
                assert_harmless(&what, &responses);
                for response in &responses {
                    // An id of plain characters may come back, as an id.
                    let injected = response.head.lines().any(|line| line.trim_start().starts_with("evil"));
                    assert!(!injected && !response.head.contains("<evil>"), "{what:?}: {response:?}");
                    let body = String::from_utf8_lossy(&response.body);
                    assert!(!body.contains("<evil>") && !body.contains("evil.example"), "{what:?}: {body}");
                }
            }
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_where_it_should_not() {
    let world = World::start().await;
    let id = world.seller().publish(&ItemTerms::of(5)).await.id;
    let long = "a/".repeat(20_000);
    let paths: Vec<String> = [
        "/../spin.toml",
        "/%2e%2e/spin.toml",
        "/%2e%2e%2fspin.toml",
        "/..%5cspin.toml",
        "/..\\spin.toml",
        "/pictures/../../spin.toml",
        "/pictures/%2e%2e/%2e%2e/spin.toml",
        "/pictures/..%2f..%2fspin.toml",
        "/pictures/....//....//etc/passwd",
        "/pictures//etc/passwd",
        "/pictures/%2fetc%2fpasswd",
        "/pictures/keyboard.svg%00.html",
        "/pictures/keyboard.svg/",
        "/pictures/",
        "/pictures/.",
        "/pictures/.hidden.svg",
        "/pictures/CON",
        "/assets/../spin.toml",
        "/assets/%2e%2e%2f%2e%2e%2fspin.toml",
        "/file:///etc/passwd",
        "//evil.example/",
        "//evil.example/api/admin/sales",
        "/\\evil.example/",
        "/.//api/admin/sales",
        "/x/../api/admin/sales",
        "/api/./admin/sales",
        "/api//admin/sales",
        "//api/admin/sales",
        "/api/admin;x=y/sales",
        "/api/admin/sales;x",
        "/api/admin%2fsales",
        "/api/%61dmin/sales",
        "/%61pi/admin/sales",
        "/API/ADMIN/SALES",
        "/api/admin/sales/",
        "/api/admin/sales%20",
        "/api/admin/sales%00",
        "/api/admin/sales?",
        "/api/admin/sales#x",
        "/api/orders/../admin/sales",
        "/internal%2ftick",
        "/internal/../internal/tick",
        "/metrics/../api/admin/sales",
        "/caf\u{e9}",
        "/%ff%fe",
        "/%",
        "/%zz",
        "/a b",
        "/\"<>^`{|}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        format!("/api/items/{id}/../{id}"),
        format!("/api/items/{}", id.to_uppercase()),
        format!("/api/items/{id}%00"),
        format!("/api/items/{id};x"),
        format!("/api/items//{id}"),
        format!("/api//items/{id}"),
        format!("/api/items/{id}.json"),
        format!("/items/{}", id.to_uppercase()),
        format!("/items/{id}%2f..%2f.."),
        format!("/{long}"),
        format!("/api/items/{}", "i".repeat(60_000)),
    ])
    .collect();
    for path in &paths {
        for headers in ["", "accept: text/html\r\n", "authorization: Bearer x\r\n"] {
            let responses = tell(&world, get(path, headers)).await;
            assert_eq!(responses.len(), 1, "{path}");
            let response = &responses[0];
            assert!((400..500).contains(&response.status), "{path}: {response:?}");
            let body = String::from_utf8_lossy(&response.body);
            for word in ["spin_manifest_version", "root:", "\"sale_id\"", "Aurora"] {
                assert!(!body.contains(word), "{path} shows {word}: {body}");
            }
        }
    }
    // The plain spellings work, so the shop was up.
    for path in [format!("/api/items/{id}"), format!("/items/{id}"), "/pictures/keyboard.svg".to_owned()] {
        assert_eq!(tell(&world, get(&path, "")).await[0].status, 200, "{path}");
    }
}

#[tokio::test]
async fn two_readings_of_one_request_are_never_two_requests() {
    let world = World::start().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: a\r\nx-request-id: smuggled\r\n\r\n";
    let chunked = format!("0\r\n\r\n{smuggled}");
    let length = smuggled.len();
    let cases: Vec<(&str, String)> = vec![
        ("length, then chunks", format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunked}")),
        ("chunks, then length", format!("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n{chunked}")),
        (
            "a length for all and chunks",
            format!("content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{chunked}", chunked.len()),
        ),
        ("two lengths", format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n{smuggled}")),
        ("two lengths in one", format!("content-length: 0, {length}\r\n\r\n{smuggled}")),
        ("a signed length", format!("content-length: +0\r\n\r\n{smuggled}")),
        ("a negative length", format!("content-length: -1\r\n\r\n{smuggled}")),
        ("a length in hexadecimal", format!("content-length: 0x0\r\n\r\n{smuggled}")),
        ("a length with a space in it", format!("content-length: 0 0\r\n\r\n{smuggled}")),
        ("a length without end", format!("content-length: 99999999999999999999\r\n\r\n{smuggled}")),
        ("an empty length", format!("content-length:\r\n\r\n{smuggled}")),
        ("another encoding", format!("transfer-encoding: xchunked\r\n\r\n{chunked}")),
        ("an encoding after chunks", format!("transfer-encoding: chunked, identity\r\n\r\n{chunked}")),
        ("chunks that are none", format!("transfer-encoding: identity\r\n\r\n{chunked}")),
        ("a tab before chunks", format!("transfer-encoding:\x0bchunked\r\n\r\n{chunked}")),
        ("a space before the colon", format!("content-length : 0\r\n\r\n{smuggled}")),
        ("a space before the name", format!(" content-length: 0\r\n\r\n{smuggled}")),
        ("a folded line", format!("x: a\r\n content-length: 0\r\n\r\n{smuggled}")),
        ("a folded encoding", format!("transfer-encoding:\r\n chunked\r\n\r\n{chunked}")),
        (
            "a bare line feed in the head",
            format!("content-length: 0\nx: y\r\n\r\n{}", smuggled.replace("smuggled", "pipelined")),
        ),
        ("a NUL in a name", format!("content\0-length: 0\r\n\r\n{smuggled}")),
        ("a chunk with a sign", format!("transfer-encoding: chunked\r\n\r\n+0\r\n\r\n{smuggled}")),
        ("a chunk in 0x", format!("transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{smuggled}")),
        ("a chunk without end", format!("transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{smuggled}")),
        (
            "a chunk beyond 64 bits",
            format!("transfer-encoding: chunked\r\n\r\n10000000000000000\r\n{smuggled}"),
        ),
        (
            "a chunk longer than it says",
            format!("transfer-encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n{smuggled}"),
        ),
        (
            "an endless extension",
            format!("transfer-encoding: chunked\r\n\r\n0;{}\r\n\r\n{smuggled}", "x".repeat(100_000)),
        ),
        (
            "trailers without end",
            format!("transfer-encoding: chunked\r\n\r\n0\r\n{}\r\n{smuggled}", "a: b\r\n".repeat(20_000)),
        ),
        (
            "chunks in the trailer",
            format!("transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 3\r\n\r\n{smuggled}")
                .replace("smuggled", "pipelined"),
        ),
    ];
    for (what, rest) in cases {
        let request = format!("POST /api/session HTTP/1.1\r\nhost: shop.example\r\n{rest}");
        let mut wire = Wire::open(&world.host.base()).await;
        wire.send(&request).await;
        // Where the host took one request, one more may follow on the connection; this one asks for its end.
        wire.send(get("/healthz", "x-request-id: last\r\n")).await;
        let responses = wire.responses().await;
        assert!(!responses.is_empty(), "{what}: no response");
        assert_harmless(what, &responses);
        for response in &responses {
            assert_ne!(response.header("x-request-id"), Some("smuggled"), "{what}: {responses:?}");
        }
    }
    assert_eq!(world.client().get("/healthz").send().await.status, 200);
}

#[tokio::test]
async fn malformed_requests_are_refused_and_harm_nobody() {
    let world = World::start().await;
    let host = "host: shop.example\r\nconnection: close\r\n\r\n";
    let many: String = (0..5_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing but lines", b"\r\n\r\n\r\n\r\n".to_vec()),
        ("a line", b"GET\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/3.7", format!("GET / HTTP/3.7\r\n{host}").into_bytes()),
        ("TLS", [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[0; 300]].concat()),
        ("RESP", b"*1\r\n$4\r\nPING\r\n\r\n".to_vec()),
        ("zeroes", vec![0; 1_000]),
        ("no host", b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec()),
        ("two hosts", format!("GET / HTTP/1.1\r\nhost: a\r\n{host}").into_bytes()),
        ("an impossible host", b"GET / HTTP/1.1\r\nhost: a b@c:/d\r\nconnection: close\r\n\r\n".to_vec()),
        ("an absolute address", format!("GET http://evil.example/healthz HTTP/1.1\r\n{host}").into_bytes()),
        ("another scheme", format!("GET ftp://evil.example/healthz HTTP/1.1\r\n{host}").into_bytes()),
        ("CONNECT", format!("CONNECT 127.0.0.1:6379 HTTP/1.1\r\n{host}").into_bytes()),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{host}").into_bytes()),
        ("GET *", format!("GET * HTTP/1.1\r\n{host}").into_bytes()),
        ("TRACE", format!("TRACE / HTTP/1.1\r\n{host}").into_bytes()),
        (
            "an upgrade",
            format!("GET / HTTP/1.1\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n{host}").into_bytes(),
        ),
        ("a method in small letters", format!("get / HTTP/1.1\r\n{host}").into_bytes()),
        ("a long method", format!("{} / HTTP/1.1\r\n{host}", "M".repeat(2_000)).into_bytes()),
        ("a method over all bounds", format!("{} / HTTP/1.1\r\n{host}", "M".repeat(200_000)).into_bytes()),
        ("a long path", format!("GET /{} HTTP/1.1\r\n{host}", "p".repeat(200_000)).into_bytes()),
        ("a long header", format!("GET / HTTP/1.1\r\nx: {}\r\n{host}", "y".repeat(200_000)).into_bytes()),
        ("a long header name", format!("GET / HTTP/1.1\r\n{}: y\r\n{host}", "x".repeat(70_000)).into_bytes()),
        ("many headers", format!("GET / HTTP/1.1\r\n{many}{host}").into_bytes()),
        (
            "many cookies",
            format!("GET /api/orders HTTP/1.1\r\n{}{host}", "cookie: a=b\r\n".repeat(80)).into_bytes(),
        ),
        ("ranges", format!("GET / HTTP/1.1\r\nrange: bytes={}\r\n{host}", "0-,".repeat(5_000)).into_bytes()),
        (
            "tags",
            format!("GET / HTTP/1.1\r\nif-none-match: {}\r\n{host}", "\"a\",".repeat(10_000)).into_bytes(),
        ),
        (
            "encodings",
            format!("GET / HTTP/1.1\r\naccept-encoding: {}\r\n{host}", "br;q=0.1,".repeat(5_000))
                .into_bytes(),
        ),
        (
            "an unknown expectation",
            format!("POST /api/session HTTP/1.1\r\nexpect: 999-x\r\ncontent-length: 0\r\n{host}")
                .into_bytes(),
        ),
    ];
    for (what, bytes) in cases {
        let mut wire = Wire::open(&world.host.base()).await;
        wire.send(&bytes).await;
        // The host may wait for more of the same input, so end it.
        wire.finish().await;
        let responses = wire.responses().await;
        assert!(responses.len() <= 1, "{what}: {responses:?}");
        assert_harmless(what, &responses);
    }
    let response = &tell(&world, "GET /healthz HTTP/1.0\r\n\r\n").await[0];
    assert_eq!(response.status, 200, "HTTP/1.0: {response:?}");
}

#[tokio::test]
async fn requests_in_one_breath_are_answered_in_their_order() {
    let world = World::start().await;
    let mut wire = Wire::open(&world.host.base()).await;
    let request =
        |number: usize| format!("GET /api/sales HTTP/1.1\r\nhost: a\r\nx-request-id: n-{number}\r\n\r\n");
    wire.send((0..100).map(request).collect::<String>()).await;
    for number in 0..100 {
        let response = wire.response().await.unwrap();
        assert_eq!(
            (response.status, response.header("x-request-id")),
            (200, Some(format!("n-{number}").as_str()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_clients_keep_nobody_waiting() {
    let (world, item) = World::builder().argue(&["--read-timeout", "5s"]).unchecked().selling(50).await;
    let base = world.host.base();
    // These are more connections than the host serves at once. Each leaves something unfinished: a head, a body, a chunk.
    let slow = crowd(1_200, 100, |number| {
        let base = base.clone();
        async move {
            let mut wire = Wire::open(&base).await;
            let head = "POST /api/session HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
            wire.send(match number % 4 {
                0 => "GET /api/sales HTTP/1.1\r\nhost: a\r\nx: ".to_owned(),
                1 => format!("{head}content-length: 1000\r\n\r\n{{"),
                2 => format!("{head}transfer-encoding: chunked\r\n\r\n3e8\r\n{{"),
                _ => "G".to_owned(),
            })
            .await;
            wire
        }
    })
    .await;
    // Others buy meanwhile.
    let client: Client = world.client();
    let bought = crowd(20, 5, |_| async {
        let shopper = stampede_tests::Shopper::arrive(&client).await;
        shopper.hold(&item).await["state"].clone()
    })
    .await;
    assert!(bought.iter().all(|state| state == "held"), "{bought:?}");
    // And the host tells the slow clients that they were slow.
    for mut wire in slow {
        assert_eq!(wire.response().await.map(|response| response.status), Some(408));
    }
}
