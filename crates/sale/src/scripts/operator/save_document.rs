use crate::catalogue::Document;
use crate::change::MOST_ENTRIES;
use crate::keys::LOG;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::{Redis, Reply};

pub(crate) static SCRIPT: Script = script!("save_document", 2);

/// What became of saving a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    Done,
    /// Somebody else saved first: version `current` (0 if there is none).
    VersionMismatch {
        current: u64,
    },
}

impl<R: Redis> Engine<R> {
    /// Saves `document` if the saved version is `expected`, 0 for a new one.
    pub async fn save_document<D: Document>(
        &self,
        document: &D,
        expected: u64,
    ) -> Result<Saved, EngineError> {
        let json = serde_json::to_string(document).unwrap_or_default();
        let mut reply = self
            .run(
                &SCRIPT,
                "",
                &[D::KEY, LOG],
                &[
                    document.id(),
                    &expected.to_string(),
                    &document.version().to_string(),
                    &json,
                    self.change(),
                    &MOST_ENTRIES.to_string(),
                ],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "saved" => Saved::Done,
            "version_mismatch" => Saved::VersionMismatch { current: reply.count()? },
            _ => return Err(reply.unexpected()),
        })
    }

    /// The document of this id, if there is one.
    pub async fn document<D: Document>(&self, id: &str) -> Result<Option<D>, EngineError> {
        let replies = self.redis.execute("HGET", &[D::KEY.as_bytes(), id.as_bytes()]).await?;
        match replies.first() {
            None | Some(Reply::Nil) => Ok(None),
            Some(reply) => decode(reply).map(Some),
        }
    }

    /// The documents of these ids in one round trip; nothing for an id without one.
    pub(crate) async fn documents_of<'a, D: Document, const COUNT: usize>(
        &self,
        ids: [&'a str; COUNT],
    ) -> Result<[(&'a str, Option<D>); COUNT], EngineError> {
        let mut arguments = vec![D::KEY.as_bytes()];
        arguments.extend(ids.iter().map(|id| id.as_bytes()));
        let replies = self.redis.execute("HMGET", &arguments).await?;
        let mut found = ids.map(|id| (id, None));
        for (place, reply) in found.iter_mut().zip(&replies) {
            if *reply != Reply::Nil {
                place.1 = Some(decode(reply)?);
            }
        }
        Ok(found)
    }

    /// All documents of this kind, in no order.
    pub async fn documents<D: Document>(&self) -> Result<Vec<D>, EngineError> {
        self.redis.execute("HVALS", &[D::KEY.as_bytes()]).await?.iter().map(decode).collect()
    }
}

fn decode<D: Document>(reply: &Reply) -> Result<D, EngineError> {
    let damaged = || EngineError::UnexpectedReply {
        script: "document",
        reply: format!("a damaged record in {}", D::KEY),
    };
    let text = reply.text().ok_or_else(damaged)?;
    let (_, json) = text.split_once('|').ok_or_else(damaged)?;
    // From bytes, like all our JSON: a function that parses from text too would contain a second parser.
    serde_json::from_slice(json.as_bytes()).map_err(|_| damaged())
}
