//! Input that an operator writes: the manifest, the runtime configuration, templates, routes and allow-lists.

use std::collections::BTreeMap;

use configuration::allowed_hosts::{AllowedHosts, Destination};
use configuration::manifest::{Manifest, VariableDeclaration};
use configuration::routes::Router;
use configuration::runtime_config::RuntimeConfig;
use configuration::variables::Variables;

use crate::texts;

pub fn manifests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => {
            for trigger in &manifest.trigger.http {
                assert!(manifest.component.contains_key(&trigger.component));
            }
            for component in manifest.component.values() {
                let rules = component.allowed_outbound_hosts.iter().map(String::as_str);
                let _ = AllowedHosts::parse(rules);
                let _ = component.build.as_ref().map(|build| build.line());
            }
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

pub fn runtime_configs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(config) = RuntimeConfig::parse(text) {
        let _ = config.key_value_store("default").expect("there is always a default store");
        let _ = config.sqlite_database("default").expect("there is always a default database");
    }
}

/// A rule without a `*` names every host that it grants.
pub fn allowed_hosts(bytes: &[u8]) {
    let Some([rule, url]) = texts::<2>(bytes) else { return };
    let destination = Destination::parse(url);
    let _ = destination.as_ref().map(ToString::to_string);
    let Ok(allowed) = AllowedHosts::parse([rule]) else { return };
    let Some(destination) = destination else { return };
    if allowed.allow(&destination) && !rule.contains(['*', '/']) {
        assert!(rule.to_lowercase().contains(&destination.host), "{rule:?} grants {destination}");
    }
    if !rule.trim().starts_with("*://") && allowed.allow(&destination) {
        assert!(
            rule.trim().starts_with(&format!("{}://", destination.scheme)),
            "{rule:?} grants {destination}"
        );
    }
    let nothing = AllowedHosts::parse([]).unwrap();
    assert!(!nothing.allow(&destination));
}

/// Routes, one a line, and then a path. The router finds one of these routes, and its parts are parts of the path.
pub fn routes(bytes: &[u8]) {
    let Some([routes, path]) = texts::<2>(bytes) else { return };
    let routes: Vec<&str> = routes.lines().take(20).collect();
    let Ok(router) = Router::new(routes.iter().map(|route| ((*route).to_owned(), ()))) else { return };
    let path = format!("/{path}");
    if let Some(found) = router.find(&path) {
        assert!(routes.contains(&found.route));
        assert!(path.ends_with(&found.rest));
        for (_, value) in found.parameters {
            assert!(!value.is_empty() && !value.contains('/') && path.contains(value));
        }
    }
}

/// The expansion of a template with a secret is marked as secret, and does not show in debug output.
pub fn variables(bytes: &[u8]) {
    let Some([template, value]) = texts::<2>(bytes) else { return };
    let mut declared = BTreeMap::new();
    for (name, secret) in [("hush", true), ("said", false)] {
        let mut declaration = VariableDeclaration::default();
        (declaration.required, declaration.secret) = (true, secret);
        declared.insert(name.to_owned(), declaration);
    }
    let given = |_: &str| Some(value.to_owned());
    let variables = Variables::resolve(&declared, &[&given]).expect("all have values");
    match variables.expand(template, "here") {
        Ok(expanded) => {
            assert!(template.contains("hush") || !expanded.secret);
            assert!(!expanded.secret || format!("{expanded:?}") == "(secret)");
        }
        Err(error) => assert!(format!("{error:#}").starts_with("here: ")),
    }
}
