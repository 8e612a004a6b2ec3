//! The secrets of a run. They are made once from the system's randomness and kept in the data folder, where only the
//! owner may read them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// Reads the secret of this name, or makes it if there is none: 40 characters of `[a-z0-9]`, over 200 random bits.
///
/// # Errors
/// Fails if the file has fewer than 32 characters, or can't be read or written.
pub fn load_or_make(folder: &Path, name: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        Ok(_) => anyhow::bail!(
            "{} is not a secret of 32 characters or more; delete it to get a new one",
            path.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let secret = random_word(40)?;
    write_private(&path, &secret)?;
    Ok(secret)
}

/// Writes a file that only its owner may read. If writing fails, the old content stays.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let draft = path.with_extension("new");
        // If an earlier run was killed here, its draft may have other permissions.
        let _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn random_word(length: usize) -> anyhow::Result<String> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut word = String::with_capacity(length);
    while word.len() < length {
        let mut bytes = [0u8; 64];
        getrandom::fill(&mut bytes)
            .map_err(|error| anyhow::anyhow!("the system has no randomness: {error}"))?;
        // 252 is the largest multiple of 36 in a byte. Larger bytes would make the first letters more likely.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        word.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 36)])).take(length - word.len()));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::random_word;

    #[test]
    fn words_have_the_length_asked_for_and_differ() {
        let first = random_word(40).unwrap();
        assert_eq!(first.len(), 40);
        assert!(first.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_ne!(first, random_word(40).unwrap());
    }
}
