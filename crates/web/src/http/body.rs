//! Bodies as the platform streams them, in and out.

use bytes::Bytes;
use spin_sdk::wasip3::http::types::{ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, spawn};
use spin_sdk::wasip3::wit_stream;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It has more bytes than the caller of [`read`] accepts.
    TooLong,
    /// The sender went away or broke the framing.
    BrokenOff,
}

/// Reads a body of at most `most` bytes. Once the `announced` bytes have come it is complete: the stream's end and
/// trailers are not awaited.
pub(crate) async fn read(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    announced: Option<usize>,
    most: usize,
) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    while announced != Some(body.len()) {
        // One byte more than allowed is read, so that a longer body is noticed.
        let room = announced.unwrap_or(most + 1).saturating_sub(body.len());
        let (result, chunk) = stream.read(Vec::with_capacity(room.max(1))).await;
        if body.is_empty() {
            body = chunk;
        } else {
            body.extend_from_slice(&chunk);
        }
        if body.len() > most {
            return Err(Cut::TooLong);
        }
        if !matches!(result, StreamResult::Complete(_)) {
            end.await.map_err(|_| Cut::BrokenOff)?;
            break;
        }
    }
    Ok(body)
}

/// A stream of these bytes. A task of its own writes them.
pub(crate) fn stream(body: Bytes) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn(async move {
        // If the other side went away, nobody needs the rest.
        let _ = writer.write_all(Vec::from(body)).await;
    });
    reader
}
