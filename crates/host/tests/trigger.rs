//! Redis channels: one message at a time, no work lost, and a recovery after every failure.

use std::time::Duration;

use testkit::Signal;

use crate::support::{Application, Redis, eventually, guest};

/// The guest `bell` as two components: `first` behind the channel `one`, `second` behind `two`.
fn application(redis: &Redis) -> Application {
    let component = |id: &str| {
        format!(
            "[component.{id}]\nsource = '{}'\nallowed_outbound_hosts = [\"{url}\", \"http://self\", \"http://127.0.0.1:*\"]\nvariables = {{ redis_url = \"{url}\" }}\n",
            guest("bell").display(),
            url = redis.url()
        )
    };
    Application::new(&format!(
        "[application.trigger.redis]\naddress = \"{{{{ redis_url }}}}\"\n\
         [variables]\nredis_url = {{ required = true, secret = true }}\n\
         [[trigger.redis]]\nchannel = \"one\"\ncomponent = \"first\"\n\
         [[trigger.redis]]\nchannel = \"two\"\ncomponent = \"second\"\n{}{}\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n[component.web]\nsource = '{}'\n",
        component("first"),
        component("second"),
        guest("web").display(),
    ))
    .with(&["--variable", &format!("redis_url={}", redis.url())])
}

/// Waits until both components were rung with an empty message at start, and removes the notes of it.
fn rung_at_start(redis: &Redis) {
    eventually("both components are rung", || {
        (redis.rung().iter().filter(|line| *line == "end ").count() == 2).then_some(())
    });
    redis.command(&["DEL", "rung"]);
}

#[test]
fn every_component_is_rung_once_at_start_and_then_by_its_channel() {
    let redis = Redis::start();
    let _host = application(&redis).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "two", "hello"]);
    redis.command(&["PUBLISH", "other", "nobody"]);
    eventually("the first message", || redis.rung().contains(&"end hello".to_owned()).then_some(()));
    redis.command(&["PUBLISH", "one", "bye"]);
    // The instances that were rung at start may have ended already, so do not compare the counts.
    let words = |line: &String| line.rsplit_once(' ').unwrap().0.to_owned();
    let rung = eventually("both messages", || Some(redis.rung()).filter(|rung| rung.len() == 4));
    assert_eq!([words(&rung[0]), rung[1].clone()], ["begin hello".to_owned(), "end hello".to_owned()]);
    assert_eq!([words(&rung[2]), rung[3].clone()], ["begin bye".to_owned(), "end bye".to_owned()]);
}

#[test]
fn a_component_behind_a_channel_sends_requests_to_granted_addresses_and_has_no_self() {
    let redis = Redis::start();
    let host = application(&redis).start();
    rung_at_start(&redis);
    let fetched = |url: &str| {
        redis.command(&["PUBLISH", "one", &format!("fetch:{url}")]);
        let lines = eventually("it has fetched", || Some(redis.rung()).filter(|rung| rung.len() == 3));
        redis.command(&["DEL", "rung"]);
        lines[1].clone()
    };
    assert_eq!(fetched(&format!("http://{}/status?204", host.address)), "Ok(204)");
    // As in Spin, where the HTTP trigger is a separate process.
    assert_eq!(fetched("http://self.alt/status?204"), "Err(ErrorCode::HttpRequestUriInvalid)");
}

#[test]
fn a_component_handles_one_message_at_a_time() {
    let redis = Redis::start();
    let _host = application(&redis).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "one", "sleep:300"]);
    for number in 0..5 {
        redis.command(&["PUBLISH", "one", &format!("m{number}")]);
    }
    let rung = eventually("all messages", || Some(redis.rung()).filter(|rung| rung.len() == 12));
    for pair in rung.chunks(2) {
        let message = pair[0].split(' ').nth(1).unwrap();
        assert_eq!(pair[1], format!("end {message}"), "{rung:?}");
    }
}

#[test]
fn a_component_that_waits_delays_no_other() {
    let redis = Redis::start();
    let _host = application(&redis).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "one", "sleep:8000"]);
    eventually("the first is in work", || (redis.rung().len() == 1).then_some(()));
    redis.command(&["PUBLISH", "two", "quick"]);
    eventually("the other component", || redis.rung().contains(&"end quick".to_owned()).then_some(()));
    assert!(!redis.rung().contains(&"end sleep:8000".to_owned()), "the first still waits");
}

#[test]
fn the_same_message_waits_only_once() {
    let redis = Redis::start();
    let _host = application(&redis).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "one", "sleep:1000"]);
    eventually("the first is in work", || (redis.rung().len() == 1).then_some(()));
    for _ in 0..50 {
        redis.command(&["PUBLISH", "one", "again"]);
    }
    redis.command(&["PUBLISH", "one", "last"]);
    let rung = eventually("the last", || {
        Some(redis.rung()).filter(|rung| rung.iter().any(|line| line == "end last"))
    });
    assert_eq!(rung.iter().filter(|line| *line == "end again").count(), 1, "{rung:?}");
}

#[test]
fn after_an_error_or_a_trap_the_next_message_is_handled() {
    let redis = Redis::start();
    let host = application(&redis).start();
    rung_at_start(&redis);
    for message in ["error", "trap", "after"] {
        redis.command(&["PUBLISH", "one", message]);
    }
    let rung = eventually("the message after", || {
        Some(redis.rung()).filter(|rung| rung.iter().any(|line| line == "end after"))
    });
    assert!(rung.contains(&"begin after 1".to_owned()), "a new instance after a trap: {rung:?}");
    for words in ["a message was not handled", "as asked", "an instance ended"] {
        host.expect_log(words);
    }
}

#[test]
fn a_handler_that_takes_too_long_is_ended() {
    let redis = Redis::start();
    let host = application(&redis).with(&["--request-timeout", "500ms"]).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "one", "sleep:60000"]);
    redis.command(&["PUBLISH", "one", "after"]);
    eventually("the message after", || redis.rung().contains(&"end after".to_owned()).then_some(()));
    host.expect_log("longer than the request timeout");
}

#[test]
fn an_instance_handles_only_so_many_messages() {
    let redis = Redis::start();
    let _host = application(&redis)
        .with(&["--max-instance-reuse-count", "2", "--idle-instance-timeout", "60s"])
        .start();
    rung_at_start(&redis);
    for number in 0..5 {
        redis.command(&["PUBLISH", "one", &format!("m{number}")]);
    }
    let rung = eventually("all messages", || Some(redis.rung()).filter(|rung| rung.len() == 10));
    let begins: Vec<&String> = rung.iter().filter(|line| line.starts_with("begin")).collect();
    // The first instance has already handled the empty message at start.
    assert_eq!(begins, ["begin m0 2", "begin m1 1", "begin m2 2", "begin m3 1", "begin m4 2"]);
}

#[test]
fn when_redis_is_back_the_trigger_rings_every_component_again() {
    let mut redis = Redis::start();
    let host = application(&redis).start();
    rung_at_start(&redis);
    redis.stop();
    eventually("the loss is noticed", || host.process.stderr().contains("connecting again").then_some(()));
    assert_eq!(host.text("/constant"), "constant");
    redis.resume();
    eventually("both components are rung again", || {
        (redis.rung().iter().filter(|line| *line == "end ").count() == 2).then_some(())
    });
    redis.command(&["PUBLISH", "one", "back"]);
    eventually("messages come again", || redis.rung().contains(&"end back".to_owned()).then_some(()));
}

#[test]
fn a_host_waits_for_a_redis_that_refuses_at_its_start() {
    let redis = Redis::start();
    redis.fill_disk();
    // Redis notices with this write that its disk is full.
    redis.command(&["SET", "a", "1"]);
    eventually("Redis refuses writes", || redis.try_command(&["SET", "a", "2"]).is_err().then_some(()));
    let host = application(&redis).start();
    host.expect_log("can't listen to");
    host.expect_log("MISCONF");
    assert_eq!(host.text("/constant"), "constant");
    redis.empty_disk();
    rung_at_start(&redis);
}

#[test]
fn a_message_that_redis_refused_is_passed_on_again_until_it_is_handled() {
    let redis = Redis::start();
    let host = application(&redis).start();
    rung_at_start(&redis);
    redis.fill_disk();
    redis.command(&["SET", "a", "1"]);
    eventually("Redis refuses writes", || redis.try_command(&["SET", "a", "2"]).is_err().then_some(()));
    redis.command(&["PUBLISH", "one", "work"]);
    host.expect_log("a message was not handled");
    redis.empty_disk();
    eventually("the message is handled", || redis.rung().contains(&"end work".to_owned()).then_some(()));
}

#[test]
fn without_the_redis_triggers_no_component_is_rung_and_no_redis_is_needed() {
    let mut redis = Redis::start();
    let application = application(&redis).with(&["--triggers", "http"]);
    redis.stop();
    let host = application.start();
    assert_eq!(host.text("/constant"), "constant");
    redis.resume();
    redis.command(&["PUBLISH", "one", "hello"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(redis.rung().join("\n"), "");
}

#[test]
fn a_signal_lets_the_message_in_work_finish() {
    let redis = Redis::start();
    let mut host = application(&redis).start();
    rung_at_start(&redis);
    redis.command(&["PUBLISH", "one", "sleep:1000"]);
    redis.command(&["PUBLISH", "one", "never"]);
    eventually("the first is in work", || (redis.rung().len() == 1).then_some(()));
    host.process.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    assert_eq!(redis.rung().last().map(String::as_str), Some("end sleep:1000"));
}
