//! What a component may do, and the errors that it gets for everything else.

use testkit::{Signal, free_port};

use crate::support::{Application, Redis};

#[test]
fn what_the_manifest_does_not_grant_is_refused_with_the_error_that_the_interface_defines() {
    let redis = Redis::start();
    let host = Application::web("").start();
    assert_eq!(host.post("/redis", &format!("{}\nPING", redis.url())), "Error::InvalidAddress");
    assert_eq!(host.post("/kv", "default"), "Error::AccessDenied");
    assert_eq!(host.post("/sqlite", "default"), "Error::AccessDenied");
    let postgres = host.post("/postgres", "postgres://127.0.0.1:5432/x");
    assert!(postgres.contains("ConnectionFailed") && postgres.contains("not permitted"), "{postgres}");
    let fetched = host.text(&format!("/fetch?http://{}/constant", host.address));
    assert!(fetched.contains("HttpRequestDenied"), "{fetched}");
    let socket = host.text(&format!("/socket?{}", host.address));
    assert!(socket.starts_with("Err("), "{socket}");
}

#[test]
fn a_grant_is_for_one_port_and_one_name_only() {
    let (redis, other) = (Redis::start(), Redis::start());
    let host = Application::web(&format!(
        "allowed_outbound_hosts = [\"{}\"]\nkey_value_stores = [\"default\"]\nsqlite_databases = [\"default\"]",
        redis.url()
    ))
    .start();
    assert_eq!(host.lines("/redis", &[&redis.url(), "SET a 1"]), ["Ok([RedisResult::Status(\"OK\")])"]);
    assert_eq!(host.post("/redis", &format!("{}\nPING", other.url())), "Error::InvalidAddress");
    assert_eq!(
        host.post("/redis", &format!("redis://localhost:{}\nPING", redis.port())),
        "Error::InvalidAddress"
    );
    assert_eq!(host.post("/redis", "nonsense"), "Error::InvalidAddress");
    assert_eq!(host.post("/kv", "other"), "Error::AccessDenied");
    assert_eq!(host.post("/sqlite", "other"), "Error::AccessDenied");
}

#[test]
fn a_granted_database_does_not_lead_to_another_address() {
    let host = Application::web("allowed_outbound_hosts = [\"postgres://db.example:5432\"]").start();
    for address in [
        "postgres://db.example/x?hostaddr=127.0.0.1",
        "postgres://db.example/x?host=127.0.0.1",
        "postgres://db.example,127.0.0.1/x",
        "postgres://db.example/x?host=/run/postgresql",
        "postgres://%2Frun%2Fpostgresql/x",
        "postgres:///x?hostaddr=127.0.0.1",
    ] {
        let refused = host.post("/postgres", address);
        assert!(refused.contains("not permitted"), "{address}: {refused}");
    }
}

#[test]
fn a_granted_host_is_reached_over_http() {
    let other = Application::web("").start();
    let host = Application::web(&format!("allowed_outbound_hosts = [\"http://{}\"]", other.address)).start();
    assert_eq!(host.text(&format!("/fetch?http://{}/status?204", other.address)), "Ok(204)");
    let away = host.text(&format!("/fetch?http://127.0.0.1:{}/", free_port()));
    assert!(away.contains("HttpRequestDenied"), "{away}");
}

#[test]
fn a_component_reaches_the_application_itself_only_with_a_grant_for_self() {
    let host = Application::web("allowed_outbound_hosts = [\"http://self\"]").start();
    assert_eq!(host.text("/fetch?http://self.alt/status?204"), "Ok(204)");
    // The request comes in like any other, for the address that the host listens on.
    assert_eq!(host.text("/fetch-text?http://self.alt/uri"), format!("Ok(\"http://{}/uri\")", host.address));
    // The grant covers neither the application's address nor a host that is named `self`.
    for url in [&format!("http://{}/status?204", host.address), "http://self/", "http://localhost/"] {
        let denied = host.text(&format!("/fetch?{url}"));
        assert!(denied.contains("HttpRequestDenied"), "{url}: {denied}");
    }

    let other = Application::web(&format!("allowed_outbound_hosts = [\"http://{}\"]", host.address)).start();
    let denied = other.text("/fetch?http://self.alt/status?204");
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    other.expect_log("http://self");
}

#[test]
fn mounted_files_can_be_read_but_not_written_and_no_other_file_is_visible() {
    let mut host = Application::web(
        "files = [\"plain/*.txt\", { source = \"pictures\", destination = \"/shown\" }]\nexclude_files = [\"**/b.txt\"]",
    )
    .file("plain/a.txt", "A")
    .file("plain/b.txt", "B")
    .file("pictures/deep/c.svg", "C")
    .file("secret.txt", "S")
    .start();
    assert_eq!(host.text("/read?/plain/a.txt"), "Ok(\"A\")");
    assert_eq!(host.text("/read?/shown/deep/c.svg"), "Ok(\"C\")");
    for path in ["/plain/b.txt", "/secret.txt", "/shown/../secret.txt", "/etc/passwd", "/spin.toml"] {
        assert!(host.text(&format!("/read?{path}")).starts_with("Err("), "{path}");
    }
    for path in ["/plain/a.txt", "/plain/new.txt", "/shown/deep/c.svg", "/shown/new.svg"] {
        assert!(host.text(&format!("/write?{path}")).starts_with("Err("), "{path}");
        assert!(host.text(&format!("/remove?{path}")).starts_with("Err("), "{path}");
    }
    assert_eq!(host.text("/read?/plain/a.txt"), "Ok(\"A\")");
    let picture = std::fs::read_to_string(host.application.folder.path().join("pictures/deep/c.svg"));
    assert_eq!(picture.unwrap(), "C");

    host.process.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    let copies = std::fs::read_dir(host.application.folder.path().join(".spin/mounts")).unwrap();
    assert_eq!(copies.count(), 0, "copies are removed at the end");
}

#[test]
fn a_component_sees_its_own_variables_and_no_others() {
    let host = Application::new(&format!(
        "[variables]\nhidden = {{ required = true, secret = true }}\nshop = {{ default = \"s1\" }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n\
         [component.web]\nsource = '{}'\nenvironment = {{ MODE = \"test\" }}\n\
         [component.web.variables]\ngreeting = \"{{{{ shop }}}}-{{{{ hidden }}}}\"\n",
        crate::support::guest("web").display()
    ))
    .with(&["--variable", "hidden=h=1"])
    .start();
    assert_eq!(host.text("/variable?greeting"), "Ok(\"s1-h=1\")");
    assert!(host.text("/variable?hidden").contains("Undefined"));
    assert!(host.text("/variable?Bad-Name").contains("InvalidName"));
    assert_eq!(host.text("/environment?MODE"), "Ok(\"test\")");
    assert!(host.text("/environment?PATH").starts_with("Err("));
    assert!(!host.process.stderr().contains("h=1"));
}
