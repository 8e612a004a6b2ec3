//! Compares `spin.toml` with the functions that it describes. For tests only.
//!
//! [`check`] is the one comparison of settings. The macros that make a function's entry point, `web::service!` and
//! `web::subscriber!`, put a test that calls it into every function. So a function can't be left out, and the test sees
//! the declaration that the compiler sees. One test program can't link all functions instead: they would need the crate
//! type `rlib`, and then cargo would no longer optimise a component as a whole (LTO).
//!
//! What needs all components at once is in this crate's own tests.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use toml::de::{DeTable, DeValue};

/// `spin.toml`, as far as it is compared.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The names in `[variables]`, in their order.
    pub variables: Vec<String>,
    /// The components, in no order.
    pub components: Vec<Component>,
    /// The names of variables in all texts of the file that hold `{{ name }}`.
    pub used: Vec<String>,
}

/// `[component.<name>]`.
#[derive(Debug, Default)]
pub struct Component {
    /// Its id.
    pub name: String,
    /// Where its wasm file is.
    pub source: String,
    /// What builds it.
    pub command: String,
    /// The patterns of files that it is built from.
    pub watch: Vec<String>,
    /// The names in `[component.<name>.variables]` with their values, in their order.
    pub granted: Vec<(String, String)>,
}

/// The checkout's root.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Panics, and says all that differs, unless `spin.toml` grants `component` the settings that it declares and no others.
///
/// Both list them in the order of `[variables]`.
#[allow(clippy::panic)]
pub fn check(component: &str, declared: &[&str]) {
    let differences = Manifest::read().differences(component, declared);
    let list = differences.join("\n- ");
    assert!(differences.is_empty(), "spin.toml and functions/{component} disagree:\n- {list}");
}

impl Manifest {
    /// The checkout's own.
    pub fn read() -> Manifest {
        Manifest::parse(&std::fs::read_to_string(checkout().join("spin.toml")).unwrap())
    }

    /// The manifest in `text`; panics where it is none.
    pub fn parse(text: &str) -> Manifest {
        let document = DeTable::parse(text).unwrap();
        let mut manifest = Manifest::default();
        for value in document.get_ref().values() {
            collect_uses(value.get_ref(), &mut manifest.used);
        }
        if let Some(variables) = table(document.get_ref(), "variables") {
            manifest.variables = in_order(variables).map(|(name, _)| name).collect();
        }
        for (name, component) in table(document.get_ref(), "component").into_iter().flat_map(in_order) {
            manifest.components.push(Component::of(name, component.as_table().unwrap()));
        }
        manifest
    }

    /// What is granted to `component` and not declared, declared and not granted, or in another order.
    pub fn differences(&self, component: &str, declared: &[&str]) -> Vec<String> {
        let Some(found) = self.components.iter().find(|found| found.name == component) else {
            return vec![format!("there is no [component.{component}]")];
        };
        let granted: Vec<&str> = found.granted.iter().map(|(name, _)| name.as_str()).collect();
        let mut differences = Vec::new();
        for name in declared.iter().filter(|name| !granted.contains(name)) {
            differences.push(format!(
                "`{name}` is declared in lib.rs, but [component.{component}.variables] does not grant it"
            ));
        }
        for name in granted.iter().filter(|name| !declared.contains(name)) {
            differences.push(format!(
                "`{name}` is granted in [component.{component}.variables], but lib.rs does not declare it"
            ));
        }
        for (name, value) in &found.granted {
            if *value != format!("{{{{ {name} }}}}") {
                differences
                    .push(format!("`{name}` is granted as `{value}`, not as the variable of its name"));
            }
        }
        for name in declared.iter().chain(&granted) {
            if !self.variables.iter().any(|variable| variable == name) {
                differences.push(format!("`{name}` is not in [variables]"));
            }
        }
        for (list, place) in [(declared, "lib.rs declares"), (&granted, "spin.toml grants")] {
            let mut sorted = list.to_vec();
            sorted.sort_by_key(|name| self.variables.iter().position(|variable| variable == name));
            if sorted != list {
                differences.push(format!("{place} {list:?}; in the order of [variables] that is {sorted:?}"));
            }
        }
        differences.dedup();
        differences
    }
}

impl Component {
    fn of(name: String, component: &DeTable<'_>) -> Component {
        let text = |table: Option<&DeTable<'_>>, key: &str| {
            table
                .and_then(|table| table.get(key))
                .and_then(|value| value.get_ref().as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let build = table(component, "build");
        let watch = build.and_then(|build| build.get("watch")).and_then(|watch| watch.get_ref().as_array());
        let granted = table(component, "variables").into_iter().flat_map(in_order);
        Component {
            source: text(Some(component), "source"),
            command: text(build, "command"),
            watch: watch
                .into_iter()
                .flatten()
                .map(|pattern| pattern.get_ref().as_str().unwrap().to_owned())
                .collect(),
            granted: granted
                .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            name,
        }
    }
}

fn table<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    table.get(key).and_then(|value| value.get_ref().as_table())
}

/// The entries as the file has them; the parser sorts them by name.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> impl Iterator<Item = (String, &'a DeValue<'i>)> + use<'a, 'i> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries.into_iter().map(|(name, value)| (name.get_ref().to_string(), value.get_ref()))
}

fn collect_uses(value: &DeValue<'_>, used: &mut Vec<String>) {
    match value {
        DeValue::String(text) => {
            let starts = text.split("{{").skip(1);
            used.extend(starts.filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())));
        }
        DeValue::Array(values) => values.iter().for_each(|value| collect_uses(value.get_ref(), used)),
        DeValue::Table(table) => table.values().for_each(|value| collect_uses(value.get_ref(), used)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [variables]
        redis_url = { required = true }
        log = { default = "all" }
        bell = { default = "" }
        [component.reserve]
        source = "reserve.wasm"
        allowed_outbound_hosts = ["{{ origin }}"]
        [component.reserve.variables]
        redis_url = "{{ redis_url }}"
        bell = "{{ bell }}"
    "#;

    fn differences(declared: &[&str]) -> Vec<String> {
        Manifest::parse(TEXT).differences("reserve", declared)
    }

    #[test]
    fn a_declaration_that_fits_has_no_differences() {
        assert_eq!(differences(&["redis_url", "bell"]), [""; 0]);
    }

    #[test]
    fn a_setting_that_is_declared_and_not_granted_is_named() {
        let expected = "`log` is declared in lib.rs, but [component.reserve.variables] does not grant it";
        assert_eq!(differences(&["redis_url", "log", "bell"]), [expected]);
    }

    #[test]
    fn a_setting_that_is_granted_and_not_declared_is_named() {
        let expected = "`bell` is granted in [component.reserve.variables], but lib.rs does not declare it";
        assert_eq!(differences(&["redis_url"]), [expected]);
    }

    #[test]
    fn a_name_that_is_no_variable_is_named() {
        let manifest = Manifest::parse(&TEXT.replace("bell = { default = \"\" }", ""));
        assert_eq!(
            manifest.differences("reserve", &["redis_url", "bell"])[0],
            "`bell` is not in [variables]"
        );
    }

    #[test]
    fn another_order_than_that_of_the_variables_is_shown() {
        let expected = r#"lib.rs declares ["bell", "redis_url"]; in the order of [variables] that is ["redis_url", "bell"]"#;
        assert_eq!(differences(&["bell", "redis_url"]), [expected]);
        let swapped = TEXT
            .replace("bell = \"{{ bell }}\"", "")
            .replace("redis_url = \"", "bell = \"{{ bell }}\"\nredis_url = \"");
        let found = Manifest::parse(&swapped).differences("reserve", &["redis_url", "bell"]);
        assert!(found.len() == 1 && found[0].starts_with("spin.toml grants [\"bell\", "), "{found:?}");
    }

    #[test]
    fn a_value_that_is_not_the_variable_of_the_name_is_shown() {
        let manifest = Manifest::parse(&TEXT.replace("{{ bell }}", "{{ log }}"));
        let expected = "`bell` is granted as `{{ log }}`, not as the variable of its name";
        assert_eq!(manifest.differences("reserve", &["redis_url", "bell"]), [expected]);
    }

    #[test]
    fn a_function_without_a_component_is_named() {
        assert_eq!(Manifest::parse(TEXT).differences("grant", &[]), ["there is no [component.grant]"]);
    }

    #[test]
    fn uses_are_found_in_every_text() {
        assert_eq!(Manifest::parse(TEXT).used, ["origin", "bell", "redis_url"]);
    }
}
