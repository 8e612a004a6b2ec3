//! What keeps the host from starting, told in one line each; and the cache of compiled components.

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
    let said = Application::new(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"x\"\n[component.x]\nsource = \"gone.wasm\"\n\
         [component.x.build]\ncommand = \"make gone\"\n",
    )
    .fails();
    assert!(said.contains("`x`") && said.contains("gone.wasm") && said.contains("`make gone`"), "{said}");
}

#[test]
fn a_file_that_is_no_component_is_named() {
    let said = Application::new(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"x\"\n[component.x]\nsource = \"x.wasm\"\n",
    )
    .file("x.wasm", "not wasm")
    .fails();
    assert!(said.contains("`x`") && said.contains("x.wasm"), "{said}");
}

#[test]
fn a_component_of_the_wrong_kind_is_named() {
    let said = Application::new(&format!(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"bell\"\n[component.bell]\nsource = '{}'\n",
        guest("bell").display()
    ))
    .fails();
    assert!(said.contains("`bell`") && said.contains("wasi:http"), "{said}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Application::web("").with(&["--listen", &address]).fails();
    assert!(said.contains(&address), "{said}");
}

#[test]
fn an_unreachable_redis_is_named_without_its_password() {
    let port = free_port();
    let said = Application::new(&format!(
        "[application.trigger.redis]\naddress = \"redis://user:hush@127.0.0.1:{port}\"\n\
         [[trigger.redis]]\nchannel = \"c\"\ncomponent = \"bell\"\n[component.bell]\nsource = '{}'\n",
        guest("bell").display()
    ))
    .fails();
    assert!(said.contains(&format!("redis://127.0.0.1:{port}")) && !said.contains("hush"), "{said}");
}

#[test]
fn a_missing_variable_is_named_and_a_secret_is_never_shown() {
    let manifest = format!(
        "[variables]\ntoken = {{ required = true, secret = true }}\nplace = {{ required = true }}\n{}",
        web("")
    );
    let said = Application::new(&manifest).with(&["--variable", "token=hush"]).fails();
    assert!(said.contains("place") && !said.contains("hush"), "{said}");
    let said = Application::new(&manifest).with(&["--variable", "tokn=hush"]).fails();
    assert!(said.contains("tokn") && !said.contains("hush"), "{said}");
    let application = Application::new(&manifest).file("variables.toml", "token = \"hush\"\nplace = 5hush\n");
    let file = application.folder.path().join("variables.toml");
    let said = application.with(&["--variables-file", file.to_str().unwrap()]).fails();
    assert!(said.contains("line 2") && !said.contains("hush"), "{said}");

    let grants = "allowed_outbound_hosts = [\"{{ token }}\"]";
    let manifest = format!("[variables]\ntoken = {{ required = true, secret = true }}\n{}", web(grants));
    let said = Application::new(&manifest).with(&["--variable", "token=redis://u:hush@h"]).fails();
    assert!(said.contains("{{ token }}") && !said.contains("hush"), "{said}");
}

#[test]
fn variables_come_from_the_command_line_a_file_and_the_environment() {
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
fn an_unknown_field_and_a_missing_manifest_are_named() {
    let said = Application::new(&web("alowed_outbound_hosts = []")).fails();
    assert!(said.contains("alowed_outbound_hosts") && said.contains("spin.toml"), "{said}");
    let application = Application::new("");
    std::fs::remove_file(application.folder.path().join("spin.toml")).unwrap();
    let said = application.fails();
    assert!(said.contains("spin.toml"), "{said}");
}

#[test]
fn a_host_that_may_not_be_allowed_is_named() {
    let said = Application::new(&web("allowed_outbound_hosts = [\"redis://127.0.0.1:6379/0\"]")).fails();
    assert!(said.contains("redis://127.0.0.1:6379/0") && said.contains("path"), "{said}");
}

#[test]
fn a_broken_runtime_configuration_and_an_unknown_store_are_named() {
    let application =
        Application::new(&web("")).file("runtime.toml", "[key_value_store.default]\ntype = \"paper\"\n");
    let file = application.folder.path().join("runtime.toml");
    let said = application.with(&["--runtime-config", file.to_str().unwrap()]).fails();
    assert!(said.contains("paper") && said.contains("runtime.toml"), "{said}");
    let said = Application::new(&web("key_value_stores = [\"other\"]")).fails();
    assert!(said.contains("`other`"), "{said}");
    let said = Application::new(&web("sqlite_databases = [\"other\"]")).fails();
    assert!(said.contains("`other`"), "{said}");
}

#[test]
fn a_folder_that_can_not_be_mounted_is_named() {
    let said = Application::new(&web("files = [{ source = \"gone\", destination = \"/\" }]")).fails();
    assert!(said.contains("gone"), "{said}");
}

/// The cache entries, by name.
fn entries(cache: &Path) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn a_component_is_compiled_once_and_a_broken_entry_is_made_anew() {
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
