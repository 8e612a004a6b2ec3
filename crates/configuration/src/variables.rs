//! The application's variables: the manifest declares them, the operator sets them, templates hand them to components.
//!
//! No message of the host shows the value of a secret: [`Expanded`] knows whether its text contains one.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::VariableDeclaration;

/// An environment variable with this prefix sets an application variable, as in Spin.
pub const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// Looks up the value of a variable by its name.
pub type Source<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The value of every declared variable.
#[derive(Default)]
pub struct Variables {
    values: BTreeMap<String, Value>,
}

struct Value {
    text: String,
    secret: bool,
}

/// A template whose variables are replaced by their values.
#[derive(Clone)]
pub struct Expanded {
    /// The text with all values in it.
    pub text: String,
    /// Whether the value of a secret is part of the text.
    pub secret: bool,
}

impl fmt::Debug for Expanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secret { "(secret)" } else { &self.text })
    }
}

impl Variables {
    /// Takes each variable's value from the first of `sources` that has one, otherwise its default.
    ///
    /// # Errors
    /// The error names every required variable that has no value, and says how to give one.
    pub fn resolve(
        declared: &BTreeMap<String, VariableDeclaration>,
        sources: &[&Source<'_>],
    ) -> Result<Self> {
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, declaration) in declared {
            let given = sources.iter().find_map(|source| source(name));
            match given.or_else(|| declaration.default.clone()) {
                Some(text) => {
                    values.insert(name.clone(), Value { text, secret: declaration.secret });
                }
                None => missing.push(name.as_str()),
            }
        }
        if let Some(first) = missing.first() {
            bail!(
                "no value for the required variable{} {}: give --variable {first}=… or {ENVIRONMENT_PREFIX}{}",
                if missing.len() == 1 { "" } else { "s" },
                missing.join(", "),
                first.to_ascii_uppercase()
            );
        }
        Ok(Self { values })
    }

    /// Replaces each `{{ name }}` by the value of that variable.
    ///
    /// # Errors
    /// Fails if braces are not in pairs, or if the manifest declares no such variable. The error begins with `what`,
    /// which says where the template stands.
    pub fn expand(&self, template: &str, what: &str) -> Result<Expanded> {
        let mut expanded = Expanded { text: String::with_capacity(template.len()), secret: false };
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            expanded.text.push_str(before);
            let (name, after) =
                after.split_once("}}").with_context(|| format!("{what}: `{{{{` without `}}}}`"))?;
            let name = name.trim();
            let value = self
                .values
                .get(name)
                .with_context(|| format!("{what}: `{name}` is not among the manifest's variables"))?;
            expanded.text.push_str(&value.text);
            expanded.secret |= value.secret;
            rest = after;
        }
        ensure!(!rest.contains("}}"), "{what}: `}}}}` without `{{{{`");
        expanded.text.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, VariableDeclaration> {
        toml::from_str(
            "a = { default = \"1\" }\nb = { required = true, secret = true }\nc = { required = true }",
        )
        .unwrap()
    }

    #[test]
    fn a_value_comes_from_the_first_source_that_has_it_then_from_the_default() {
        let first = |name: &str| (name == "b").then(|| "first".to_owned());
        let second = |name: &str| Some(format!("second-{name}"));
        let variables = Variables::resolve(&declared(), &[&first, &second]).unwrap();
        let expanded = variables.expand("x{{ b }}-{{c}}-{{  a }}", "t").unwrap();
        assert_eq!(expanded.text, "xfirst-second-c-second-a");
        let none = |_: &str| None;
        let only_c = |name: &str| (name != "a").then(|| "v".to_owned());
        let variables = Variables::resolve(&declared(), &[&none, &only_c]).unwrap();
        assert_eq!(variables.expand("{{ a }}", "t").unwrap().text, "1");
    }

    #[test]
    fn every_missing_required_variable_is_named() {
        let none = |_: &str| None;
        let message = Variables::resolve(&declared(), &[&none]).err().unwrap().to_string();
        assert!(message.contains("variables b, c") && message.contains("SPIN_VARIABLE_B"), "{message}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let given = |_: &str| Some("hush".to_owned());
        let variables = Variables::resolve(&declared(), &[&given]).unwrap();
        assert_eq!(format!("{:?}", variables.expand("redis://:{{ b }}@h", "t").unwrap()), "(secret)");
        assert_eq!(format!("{:?}", variables.expand("{{ c }}", "t").unwrap()), "hush");
    }

    #[test]
    fn a_broken_or_unknown_template_is_an_error_that_says_where() {
        let given = |_: &str| Some("v".to_owned());
        let variables = Variables::resolve(&declared(), &[&given]).unwrap();
        for template in ["{{ a", "a }}", "{{ z }}", "{{ }}"] {
            let message = format!("{:#}", variables.expand(template, "component `x`").unwrap_err());
            assert!(message.starts_with("component `x`: "), "{message}");
        }
    }
}
