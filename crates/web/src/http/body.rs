//! Bodies as the platform streams them, in and out.

use bytes::Bytes;
use spin_sdk::wasip3::http::types::{ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, spawn};
use spin_sdk::wasip3::wit_stream;

/// Why there is no whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It has more bytes than were asked for.
    TooLong,
    /// The sender went away or broke the framing.
    BrokenOff,
}

/// Reads a body of at most `limit` bytes. With all that was `announced` it is complete, and neither the stream's end nor
/// trailers are waited for.
pub(crate) async fn read(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    announced: Option<usize>,
    limit: usize,
) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    while announced != Some(body.len()) {
        // Room for one byte too many, so that a body too long shows itself.
        let room = announced.unwrap_or(limit + 1).saturating_sub(body.len());
        let (result, chunk) = stream.read(Vec::with_capacity(room.max(1))).await;
        if body.is_empty() {
            body = chunk;
        } else {
            body.extend_from_slice(&chunk);
        }
        if body.len() > limit {
            return Err(Cut::TooLong);
        }
        if !matches!(result, StreamResult::Complete(_)) {
            end.await.map_err(|_| Cut::BrokenOff)?;
            break;
        }
    }
    Ok(body)
}

/// A stream that gives these bytes, written beside whatever else goes on.
pub(crate) fn stream(body: Bytes) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn(async move {
        // What is left over when the other side went away is nobody's.
        let _ = writer.write_all(Vec::from(body)).await;
    });
    reader
}
