use crate::catalogue::{Document, Item, Sale};
use crate::keys::{ARCHIVED_SALES, CATALOGUE_REVISION, ITEMS_BY_SALE, LISTED_ITEMS, SALES_BY_START};
use crate::script;
use crate::scripts::operator::save_document::decode;
use crate::scripts::{Engine, EngineError, ReplyReader, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("list_documents", 6, LISTING);

/// Documents that one script puts into the lists.
const PAGE: &str = "200";

impl<R: Redis> Engine<R> {
    /// Runs `script`, which reads the lists of the catalogue. If they are not made yet, makes them first.
    pub(crate) async fn run_on_lists(
        &self,
        script: &'static Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<(String, ReplyReader), EngineError> {
        let mut reply = self.run(script, "", keys, arguments).await?;
        let mut word = reply.text()?;
        if word == "unlisted" {
            self.make_lists().await?;
            reply = self.run(script, "", keys, arguments).await?;
            word = reply.text()?;
        }
        Ok((word, reply))
    }

    /// Makes the lists of the catalogue from the documents, in pages. Two callers at once do no harm, and neither does a
    /// document that is saved meanwhile.
    async fn make_lists(&self) -> Result<(), EngineError> {
        self.list_all::<Sale>().await?;
        self.list_all::<Item>().await?;
        self.list_page::<Sale>("done", &[]).await
    }

    async fn list_all<D: Document>(&self) -> Result<(), EngineError> {
        let mut cursor = "0".to_owned();
        loop {
            let scan: [&[u8]; 4] = [D::KEY.as_bytes(), cursor.as_bytes(), b"COUNT", PAGE.as_bytes()];
            let replies = self.redis().execute("HSCAN", &scan).await?;
            // The reply is flat: the next cursor, then id and record in turn.
            let (next, records) =
                replies.split_first().map_or((None, &[][..]), |(next, rest)| (next.text(), rest));
            let documents: Vec<D> =
                records.chunks_exact(2).map(|pair| decode(&pair[1])).collect::<Result<_, _>>()?;
            if let Some(first) = documents.first() {
                self.list_page(first.listing().kind, &documents).await?;
            }
            match next.as_deref() {
                None | Some("0") => return Ok(()),
                Some(next) => cursor = next.to_owned(),
            }
        }
    }

    async fn list_page<D: Document>(&self, kind: &str, documents: &[D]) -> Result<(), EngineError> {
        let mut arguments = vec![kind.to_owned()];
        for document in documents {
            let listing = document.listing();
            let [_, place, flag] = listing.arguments();
            let version = document.version().to_string();
            arguments.extend([document.id().to_owned(), version, place.to_owned(), flag.to_owned()]);
        }
        let keys = [D::KEY, SALES_BY_START, ARCHIVED_SALES, ITEMS_BY_SALE, LISTED_ITEMS, CATALOGUE_REVISION];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut reply = self.run(&SCRIPT, "", &keys, &arguments).await?;
        match reply.text()?.as_str() {
            "listed" => Ok(()),
            _ => Err(reply.unexpected()),
        }
    }
}
