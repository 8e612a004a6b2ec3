//! Tells a person what a command does: headings, notes and errors.
//!
//! All of it goes to standard error, so that standard output contains only results.

use std::io::IsTerminal;

/// Announces a step that may take long.
pub fn step(text: &str) {
    eprintln!("{}", paint("1;36", &format!("==> {text}")));
}

/// Tells something that needs no action.
pub fn note(text: &str) {
    eprintln!("    {text}");
}

/// Tells why the command failed. The text is one sentence that says what to do.
pub fn error(text: &str) {
    eprintln!("{} {text}", paint("1;31", "error:"));
}

/// Adds colour, but not in CI, in a file, or when `NO_COLOR` is set.
fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() && !is_set("CI") && !is_set("NO_COLOR") {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}
