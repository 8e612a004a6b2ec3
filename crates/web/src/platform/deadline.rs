//! A timeout for work that may be slow.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use spin_sdk::wasip3::clocks::monotonic_clock;

/// The result of `work`, or nothing if it takes longer than `timeout`. Then the work is dropped where it stands.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut end = pin!(monotonic_clock::wait_for(nanos));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}
