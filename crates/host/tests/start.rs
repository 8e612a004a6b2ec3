//! Errors at start, each told in one line, and the cache of compiled components.

use std::net::TcpListener;
use std::path::Path;

use testkit::free_port;

use crate::support::{Application, guest};

fn web(component: &str) -> String {
    format!(
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n[component.web]\nsource = '{}'\n{component}\n",
        guest("web").display()
    )
}

#[test]
fn a_missing_wasm_file_names_the_command_that_builds_it() {
    let error = Application::new(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"x\"\n[component.x]\nsource = \"gone.wasm\"\n\
         [component.x.build]\ncommand = \"make gone\"\n",
    )
    .fails();
    assert!(error.contains("`x`") && error.contains("gone.wasm") && error.contains("`make gone`"), "{error}");
}

#[test]
fn the_error_for_a_file_that_is_not_a_component_names_it() {
    let error = Application::new(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"x\"\n[component.x]\nsource = \"x.wasm\"\n",
    )
    .file("x.wasm", "not wasm")
    .fails();
    assert!(error.contains("`x`") && error.contains("x.wasm"), "{error}");
}

#[test]
fn the_error_for_a_component_of_the_wrong_kind_names_it() {
    let error = Application::new(&format!(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"bell\"\n[component.bell]\nsource = '{}'\n",
        guest("bell").display()
    ))
    .fails();
    assert!(error.contains("`bell`") && error.contains("wasi:http"), "{error}");
}

#[test]
fn the_error_for_a_port_in_use_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = Application::web("").with(&["--listen", &address]).fails();
    assert!(error.contains(&address), "{error}");
}

#[test]
fn a_host_whose_redis_is_unreachable_serves_and_says_so_without_the_password() {
    let port = free_port();
    let host = Application::new(&format!(
        "[application.trigger.redis]\naddress = \"redis://user:hush@127.0.0.1:{port}\"\n\
         [[trigger.redis]]\nchannel = \"c\"\ncomponent = \"bell\"\n[component.bell]\nsource = '{}'\n{}",
        guest("bell").display(),
        web("")
    ))
    .start();
    host.expect_log(&format!("can't listen to redis://127.0.0.1:{port}, trying again"));
    assert_eq!(host.text("/constant"), "constant");
    assert!(!host.process.stderr().contains("hush"), "{}", host.process.stderr());
}

#[test]
fn the_error_for_a_missing_variable_names_it_and_never_shows_a_secret() {
    let manifest = format!(
        "[variables]\ntoken = {{ required = true, secret = true }}\nplace = {{ required = true }}\n{}",
        web("")
    );
    let error = Application::new(&manifest).with(&["--variable", "token=hush"]).fails();
    assert!(error.contains("place") && !error.contains("hush"), "{error}");
    let error = Application::new(&manifest).with(&["--variable", "tokn=hush"]).fails();
    assert!(error.contains("tokn") && !error.contains("hush"), "{error}");
    let application = Application::new(&manifest).file("variables.toml", "token = \"hush\"\nplace = 5hush\n");
    let file = application.folder.path().join("variables.toml");
    let error = application.with(&["--variables-file", file.to_str().unwrap()]).fails();
    assert!(error.contains("line 2") && !error.contains("hush"), "{error}");

    let grants = "allowed_outbound_hosts = [\"{{ token }}\"]";
    let manifest = format!("[variables]\ntoken = {{ required = true, secret = true }}\n{}", web(grants));
    let error = Application::new(&manifest).with(&["--variable", "token=redis://u:hush@h"]).fails();
    assert!(error.contains("{{ token }}") && !error.contains("hush"), "{error}");
}

#[test]
fn a_variable_comes_from_the_command_line_then_a_file_then_the_environment() {
    let manifest = format!(
        "[variables]\na = {{ required = true }}\nb = {{ required = true }}\nc = {{ required = true }}\n{}",
        web("[component.web.variables]\nall = \"{{ a }}{{ b }}{{ c }}\"")
    );
    let application = Application::new(&manifest).file("v.toml", "a = \"2\"\nb = \"2\"\n");
    let file = application.folder.path().join("v.toml");
    let application = application.with(&["--variable", "a=1", "--variables-file", file.to_str().unwrap()]);
    let mut command = application.command();
    for name in ["A", "B", "C"] {
        command.env(format!("SPIN_VARIABLE_{name}"), "3");
    }
    let host = application.start_with(command);
    assert_eq!(host.text("/variable?all"), "Ok(\"123\")");
}

#[test]
fn the_error_names_an_unknown_field_or_a_missing_manifest() {
    let error = Application::new(&web("alowed_outbound_hosts = []")).fails();
    assert!(error.contains("alowed_outbound_hosts") && error.contains("spin.toml"), "{error}");
    let application = Application::new("");
    std::fs::remove_file(application.folder.path().join("spin.toml")).unwrap();
    let error = application.fails();
    assert!(error.contains("spin.toml"), "{error}");
}

#[test]
fn the_error_names_a_rule_that_is_not_an_allowed_host() {
    let error = Application::new(&web("allowed_outbound_hosts = [\"redis://127.0.0.1:6379/0\"]")).fails();
    assert!(error.contains("redis://127.0.0.1:6379/0") && error.contains("path"), "{error}");
}

#[test]
fn the_error_names_a_broken_runtime_configuration_or_an_unknown_store() {
    let application =
        Application::new(&web("")).file("runtime.toml", "[key_value_store.default]\ntype = \"paper\"\n");
    let file = application.folder.path().join("runtime.toml");
    let error = application.with(&["--runtime-config", file.to_str().unwrap()]).fails();
    assert!(error.contains("paper") && error.contains("runtime.toml"), "{error}");
    let error = Application::new(&web("key_value_stores = [\"other\"]")).fails();
    assert!(error.contains("`other`"), "{error}");
    let error = Application::new(&web("sqlite_databases = [\"other\"]")).fails();
    assert!(error.contains("`other`"), "{error}");
}

#[test]
fn the_error_names_a_folder_that_can_not_be_mounted() {
    let error = Application::new(&web("files = [{ source = \"gone\", destination = \"/\" }]")).fails();
    assert!(error.contains("gone"), "{error}");
}

/// The paths of the cache entries, sorted.
fn entries(cache: &Path) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn a_component_is_compiled_once_and_again_if_its_cache_entry_is_broken() {
    let cache = tempfile::tempdir().unwrap();
    let options = ["--cache-dir", cache.path().to_str().unwrap()];
    let host = Application::web("").with(&options).start();
    host.expect_log("compiling");
    drop(host);
    let first = entries(cache.path());
    assert_eq!(first.len(), 1, "{first:?}");

    let host = Application::web("").with(&options).start();
    assert!(!host.process.stderr().contains("compiling"), "{}", host.process.stderr());
    assert_eq!(host.text("/constant"), "constant");
    drop(host);

    std::fs::write(&first[0], "broken").unwrap();
    let host = Application::web("").with(&options).start();
    assert_eq!(host.text("/constant"), "constant");
    assert_eq!(entries(cache.path()), first);
}

#[test]
fn two_hosts_may_fill_one_cache_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let options = ["--cache-dir", cache.path().to_str().unwrap()];
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                assert_eq!(Application::web("").with(&options).start().text("/constant"), "constant")
            });
        }
    });
    assert_eq!(entries(cache.path()).len(), 1);
}
