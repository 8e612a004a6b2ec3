use std::collections::BTreeSet;

use stampede_tests::World;

use super::chromium::Chromium;

/// The slugs of docs/problems.md. A test beside the enum of problems keeps that page complete.
fn problems() -> BTreeSet<&'static str> {
    include_str!("../../docs/problems.md").lines().filter_map(|line| line.strip_prefix("## ")).collect()
}

#[tokio::test]
async fn the_pages_have_words_of_their_own_for_every_problem_in_both_languages() {
    let world = World::builder().start().await;
    let browser = Chromium::start().await;
    let problems = problems();
    assert!(problems.contains("sold-out"), "{problems:?}");
    let mut spoken = Vec::new();
    for language in ["en", "zh-CN"] {
        browser.open(&world.host.base()).await;
        browser
            .run(&format!("localStorage.setItem('stampede.language', JSON.stringify('{language}'))"))
            .await;
        browser.reload().await;
        let slugs = serde_json::to_string(&problems).unwrap();
        // An asset's address carries its digest. A problem without words of the page's own shows the server's title.
        let words = browser
            .run(&format!(
                "const assets = performance.getEntriesByType('resource').map((entry) => entry.name);
                 return import(assets.find((name) => /\\/words[^/]*\\.js$/.test(name))).then(({{ explain, locale }}) =>
                   [locale(), ...{slugs}.map((slug) => explain({{ slug, title: 'The title', detail: slug }}))]);"
            ))
            .await;
        let words: Vec<String> = serde_json::from_value(words).unwrap();
        assert_eq!(words[0], language);
        for (slug, words) in problems.iter().zip(&words[1..]) {
            assert!(!words.contains("The title") && words.len() > 5, "{language} {slug}: {words}");
        }
        spoken.push(words);
    }
    for ((slug, english), chinese) in problems.iter().zip(&spoken[0][1..]).zip(&spoken[1][1..]) {
        assert!(english.is_ascii() || english.contains('’'), "{slug}: {english}");
        assert!(!chinese.is_ascii(), "{slug}: {chinese}");
    }
}
