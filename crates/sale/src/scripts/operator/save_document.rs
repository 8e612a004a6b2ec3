use crate::catalogue::{Document, Item};
use crate::change::MOST_ENTRIES;
use crate::keys::{
    ARCHIVED_SALES, CATALOGUE_ANSWERS, CATALOGUE_REVISION, ITEMS_BY_SALE, LISTED_ITEMS, LOG, SALES,
    SALES_BY_START, UNFINISHED,
};
use crate::publishing::Marker;
use crate::script;
use crate::scripts::{Engine, EngineError, ReplyReader, Script};
use crate::store::{Redis, Reply};

pub(crate) static SCRIPT: Script = script!("save_document", 10, IDEMPOTENCY, LISTING);

/// What became of saving a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    Done,
    /// Somebody else saved first: version `current` (0 if there is none).
    VersionMismatch {
        current: u64,
    },
    /// The sale of a new item is gone or archived.
    NoSale,
}

/// What became of adding a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    Done,
    /// It was added before under this key; `answer` was kept then.
    Repeated {
        answer: String,
    },
    /// The key belongs to another request.
    KeyReused,
    /// There is a document of this id.
    Taken,
    /// The sale of the item is gone or archived.
    NoSale,
}

impl<R: Redis> Engine<R> {
    /// Saves `document` if the saved version is `expected`, 0 for a new one.
    pub async fn save_document<D: Document>(
        &self,
        document: &D,
        expected: u64,
    ) -> Result<Saved, EngineError> {
        self.save_marked(document, expected, "").await
    }

    /// Saves a published item as [`Engine::save_document`] does, and marks it until it has reached its lane: the first step
    /// of [`crate::publishing`].
    pub async fn save_published(
        &self,
        item: &Item,
        expected: u64,
        marker: &Marker,
    ) -> Result<Saved, EngineError> {
        self.save_marked(item, expected, &marker.to_string()).await
    }

    async fn save_marked<D: Document>(
        &self,
        document: &D,
        expected: u64,
        marker: &str,
    ) -> Result<Saved, EngineError> {
        let mut reply = self.save(document, expected, ["", ""], "", marker).await?;
        Ok(match reply.text()?.as_str() {
            "saved" => Saved::Done,
            "version_mismatch" => Saved::VersionMismatch { current: reply.count()? },
            "no_sale" => Saved::NoSale,
            _ => return Err(reply.unexpected()),
        })
    }

    /// Saves a new document, once under this engine's key ([`Engine::once`]). `answer` is kept with the key: what is needed to
    /// repeat the first answer, at most a line.
    pub async fn add_document<D: Document>(&self, document: &D, answer: &str) -> Result<Added, EngineError> {
        let mut reply = self.save(document, 0, self.key(), answer, "").await?;
        Ok(match reply.text()?.as_str() {
            "saved" => Added::Done,
            "repeated" => Added::Repeated { answer: reply.text()? },
            "key_reused" => Added::KeyReused,
            "version_mismatch" => Added::Taken,
            "no_sale" => Added::NoSale,
            _ => return Err(reply.unexpected()),
        })
    }

    async fn save<D: Document>(
        &self,
        document: &D,
        expected: u64,
        [key, digest]: [&str; 2],
        answer: &str,
        marker: &str,
    ) -> Result<ReplyReader, EngineError> {
        let json = serde_json::to_string(document).unwrap_or_default();
        let listing = document.listing();
        let [kind, place, flag] = listing.arguments();
        self.run(
            &SCRIPT,
            "",
            &[
                D::KEY,
                LOG,
                CATALOGUE_ANSWERS,
                UNFINISHED,
                SALES_BY_START,
                ARCHIVED_SALES,
                ITEMS_BY_SALE,
                LISTED_ITEMS,
                CATALOGUE_REVISION,
                SALES,
            ],
            &[
                document.id(),
                &expected.to_string(),
                &document.version().to_string(),
                &json,
                self.change(),
                &MOST_ENTRIES.to_string(),
                key,
                digest,
                answer,
                marker,
                kind,
                place,
                flag,
            ],
        )
        .await
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
    pub async fn documents_of<D: Document>(&self, ids: &[&str]) -> Result<Vec<Option<D>>, EngineError> {
        let mut arguments = vec![D::KEY.as_bytes()];
        arguments.extend(ids.iter().map(|id| id.as_bytes()));
        let replies = self.redis.execute("HMGET", &arguments).await?;
        let read = |reply: &Reply| (*reply != Reply::Nil).then(|| decode(reply)).transpose();
        replies.iter().map(read).collect()
    }

    /// All documents of this kind ever made, in no order. For tests: the lists of the catalogue say which ones to read.
    pub async fn documents<D: Document>(&self) -> Result<Vec<D>, EngineError> {
        self.redis.execute("HVALS", &[D::KEY.as_bytes()]).await?.iter().map(decode).collect()
    }
}

/// The document of a record, which is `version|JSON`.
pub(crate) fn decode<D: Document>(reply: &Reply) -> Result<D, EngineError> {
    let damaged = || EngineError::UnexpectedReply {
        script: "document",
        reply: format!("a damaged record in {}", D::KEY),
    };
    let text = reply.text().ok_or_else(damaged)?;
    let (_, json) = text.split_once('|').ok_or_else(damaged)?;
    // From bytes, like all our JSON: a function that parses from text too would contain a second parser.
    serde_json::from_slice(json.as_bytes()).map_err(|_| damaged())
}
