//! What a person sees while a command runs: headings, notes and errors on standard error, so that standard
//! output carries results only.

use std::io::IsTerminal;

/// A step that may take long begins.
pub fn step(text: &str) {
    eprintln!("{}", paint("1;36", &format!("==> {text}")));
}

/// Something worth knowing that needs no action.
pub fn note(text: &str) {
    eprintln!("    {text}");
}

/// The command failed; one message, as a sentence that says what to do.
pub fn error(text: &str) {
    eprintln!("{} {text}", paint("1;31", "error:"));
}

/// Colours are for people only: never in CI, in a file, or where `NO_COLOR` is set.
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
