//! Calls components for messages on Redis channels. A message is a doorbell: it says that there is work.
//!
//! Spin handles one message at a time per server; this host handles one at a time per component, so a component that waits
//! for a slow database delays no other. Spin logs a handler's error and forgets the message. This host also adds:
//! - It connects and reconnects by itself, and waits for a server that is not ready when the host starts.
//! - A message that was not handled is passed on again after a pause, until it is handled. Redis may refuse all writes
//!   for a while, and nobody might ring again after that. A message that made its instance trap is not repeated.
//! - After each connect it calls every component once with an empty message, because messages may have been missed.
//! - A flood of messages can't use up memory. A message that is already pending is not queued again. When a queue is
//!   full, each channel gets one empty message instead of the rest.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::allowed_hosts::Destination;
use crate::bindings::trigger::{RedisTrigger as Guest, RedisTriggerPre};
use crate::component::Component;
use crate::log;
use crate::options::Limits;
use crate::state::State;

/// The most messages of a component that wait with their content. Beyond it the queue keeps one empty message per channel.
const LONGEST_QUEUE: usize = 4096;
/// The most bytes of a message. A larger one is passed on as an empty one.
const LARGEST_MESSAGE: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pauses before a message that was not handled is passed on again.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(2);
/// How long no message may come before the connection is checked. Otherwise nobody would notice a dead one.
const CHECK_AFTER: Duration = Duration::from_secs(5);

/// One Redis server whose messages ring components.
pub struct Trigger {
    /// The URL, with credentials.
    address: String,
    /// The URL without credentials, for messages.
    name: String,
    bells: Vec<Bell>,
    limits: Arc<Limits>,
    /// One for each component, by its id.
    queues: HashMap<Arc<str>, Queue>,
}

/// A channel and the component that it rings.
pub struct Bell {
    /// The channel.
    pub channel: String,
    /// The component.
    pub component: Arc<Component>,
    /// The component's code.
    pub code: RedisTriggerPre<State>,
}

impl Bell {
    /// Makes messages on `channel` ring `component`, whose code is `code`.
    ///
    /// # Errors
    /// Fails if the component does not handle Redis messages.
    pub fn new(channel: String, component: Arc<Component>, code: InstancePre<State>) -> anyhow::Result<Self> {
        let code = RedisTriggerPre::new(code).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(Self { channel, component, code })
    }
}

impl Trigger {
    /// The trigger for the server at `address`.
    pub fn new(address: String, bells: Vec<Bell>, limits: Arc<Limits>) -> Self {
        let name = Destination::parse(&address).map_or_else(|| "redis".to_owned(), |place| place.to_string());
        let queues = bells.iter().map(|bell| (bell.component.id.clone(), Queue::default())).collect();
        Self { address, name, bells, limits, queues }
    }

    /// Connects, and rings components until `stop` is true. Then finishes the messages in work.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let listening = tokio::spawn(self.clone().listen());
        let mut consumers = JoinSet::new();
        for component in self.queues.keys() {
            consumers.spawn(self.clone().consume(component.clone(), stop.clone()));
        }
        while let Some(ended) = consumers.join_next().await {
            if let Err(error) = ended {
                log::error(None, &format!("messages are no longer handled: {error}"));
            }
        }
        listening.abort();
    }

    /// Handles the messages of one component, one at a time.
    async fn consume(self: Arc<Self>, component: Arc<str>, mut stop: watch::Receiver<bool>) {
        let Some(queue) = self.queues.get(&component) else { return };
        let mut instances: HashMap<usize, Live> = HashMap::new();
        let mut rest = FIRST_REST;
        loop {
            let idle = self.limits.idle_instance_timeout;
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                next = timeout(idle, queue.next()) => next,
            };
            let Ok((bell, message)) = next else {
                instances.clear();
                continue;
            };
            instances.retain(|_, live| live.last_use.elapsed() < idle);
            if self.ring(bell, message.clone(), &mut instances).await {
                rest = FIRST_REST;
            } else {
                queue.push_after(rest, (bell, message));
                rest = LONGEST_REST.min(rest * 2);
            }
        }
    }

    /// Queues a message for the component of `bell`.
    fn push(&self, bell: usize, message: Vec<u8>) {
        if let Some(queue) = self.queues.get(&self.bells[bell].component.id) {
            queue.push(bell, message);
        }
    }

    async fn subscribe(&self) -> redis::RedisResult<redis::aio::PubSub> {
        let connecting = async {
            let client = redis::Client::open(self.address.as_str())?;
            // A server that still loads its data accepts subscriptions, but not the commands of components.
            let mut probe = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut probe).await?;
            let mut subscription = client.get_async_pubsub().await?;
            let channels: HashSet<&str> = self.bells.iter().map(|bell| bell.channel.as_str()).collect();
            for channel in channels {
                subscription.subscribe(channel).await?;
            }
            Ok(subscription)
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    /// Subscribes. Tries until the server answers, and logs why it does not.
    async fn connect(&self) -> redis::aio::PubSub {
        let mut pause = FIRST_PAUSE;
        let mut told = String::new();
        loop {
            let reason = match self.subscribe().await {
                Ok(subscription) => return subscription,
                Err(error) => error.to_string(),
            };
            if reason != told {
                log::warn(None, &format!("can't listen to {}, trying again: {reason}", self.name));
                told = reason;
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Fills the queues, and connects again whenever the connection is lost. Never ends.
    async fn listen(self: Arc<Self>) {
        loop {
            let subscription = self.connect().await;
            log::info(None, &format!("listening to {}", self.name));
            // Messages may have been missed, so ring everybody. The components most likely use the same server. It is back,
            // so their connections need not pause any longer.
            self.bells.iter().for_each(|bell| bell.component.services.redis.try_again());
            for bell in 0..self.bells.len() {
                self.push(bell, Vec::new());
            }
            self.receive(subscription).await;
            log::warn(None, &format!("lost {}: connecting again", self.name));
        }
    }

    /// Fills the queues until the connection is lost.
    async fn receive(&self, subscription: redis::aio::PubSub) {
        let (mut sink, mut messages) = subscription.split();
        loop {
            match timeout(CHECK_AFTER, messages.next()).await {
                Ok(Some(message)) => {
                    let channel = message.get_channel_name();
                    for (index, bell) in
                        self.bells.iter().enumerate().filter(|(_, bell)| bell.channel == channel)
                    {
                        let payload = message.get_payload_bytes();
                        if payload.len() > LARGEST_MESSAGE {
                            log::warn(
                                Some(&bell.component.id),
                                &format!("a message of {} bytes is passed on as an empty one", payload.len()),
                            );
                            self.push(index, Vec::new());
                        } else {
                            self.push(index, payload.to_vec());
                        }
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    // To subscribe again changes nothing, but a server that is alive replies.
                    let alive = timeout(CONNECT_TIMEOUT, sink.subscribe(&self.bells[0].channel)).await;
                    if !matches!(alive, Ok(Ok(()))) {
                        return;
                    }
                }
            }
        }
    }

    /// Passes a message on. Returns whether it is done with: handled, or never to be tried again.
    async fn ring(&self, bell: usize, message: Vec<u8>, instances: &mut HashMap<usize, Live>) -> bool {
        let Bell { component, code, .. } = &self.bells[bell];
        // Take the instance out of the map while it works, so that one that fails does not stay there.
        let live = match instances.remove(&bell) {
            Some(live) => Ok(live),
            None => Live::new(component, code).await,
        };
        let mut live = match live {
            Ok(live) => live,
            Err(error) => {
                log::error(Some(&component.id), &format!("can't make an instance: {error:#}"));
                return false;
            }
        };
        let handled = match timeout(self.limits.request_timeout, live.handle(message)).await {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(error))) => {
                log::error(Some(&component.id), &format!("a message was not handled: {error}"));
                false
            }
            Ok(Err(error)) => {
                log::error(Some(&component.id), &format!("an instance ended: {error:#}"));
                // Most likely it would end every instance.
                return true;
            }
            Err(_) => {
                log::error(Some(&component.id), "a message took longer than the request timeout");
                return false;
            }
        };
        if live.uses < self.limits.max_instance_reuse_count {
            instances.insert(bell, live);
        }
        handled
    }
}

/// An instance between messages.
struct Live {
    store: Store<State>,
    guest: Guest,
    uses: usize,
    last_use: Instant,
}

impl Live {
    async fn new(component: &Arc<Component>, code: &RedisTriggerPre<State>) -> wasmtime::Result<Self> {
        let mut store = State::store(component, None)?;
        let guest = code.instantiate_async(&mut store).await?;
        Ok(Self { store, guest, uses: 0, last_use: Instant::now() })
    }

    /// The outer error means that the instance has ended; the inner one is the guest's own.
    async fn handle(&mut self, message: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.uses += 1;
        let guest = &self.guest;
        let outcome = self
            .store
            .run_concurrent(async |accessor| {
                let outcome = guest.spin_redis_inbound_redis().call_handle_message(accessor, message).await?;
                // The guest may go on after it returns; that belongs to the message, too.
                std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                wasmtime::error::Ok(outcome)
            })
            .await??;
        self.last_use = Instant::now();
        Ok(outcome.map_err(|error| format!("{error:?}")))
    }
}

/// Messages that wait. Equal ones wait only once.
#[derive(Clone, Default)]
struct Queue {
    pending: Arc<Mutex<Pending>>,
    pushed: Arc<Notify>,
}

#[derive(Default)]
struct Pending {
    order: VecDeque<Message>,
    /// The same messages, for a quick look-up.
    queued: HashSet<Message>,
    /// Messages that were not handled and come back after a pause.
    resting: HashSet<Message>,
}

/// The index of a bell, and the message's content.
type Message = (usize, Vec<u8>);

impl Queue {
    fn push(&self, bell: usize, payload: Vec<u8>) {
        {
            let mut pending = self.pending();
            // An empty message asks for all work, so it also stands for the messages that do not fit.
            let message = (bell, if pending.order.len() < LONGEST_QUEUE { payload } else { Vec::new() });
            if !pending.queued.insert(message.clone()) {
                return;
            }
            pending.order.push_back(message);
        }
        self.pushed.notify_one();
    }

    /// Queues a message that was not handled, after a pause.
    fn push_after(&self, pause: Duration, (bell, payload): Message) {
        let message = {
            let mut pending = self.pending();
            let message = (bell, if pending.resting.len() < LONGEST_QUEUE { payload } else { Vec::new() });
            if !pending.resting.insert(message.clone()) {
                return;
            }
            message
        };
        let queue = self.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            queue.pending().resting.remove(&message);
            queue.push(message.0, message.1);
        });
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn next(&self) -> Message {
        loop {
            {
                let mut pending = self.pending();
                if let Some(message) = pending.order.pop_front() {
                    pending.queued.remove(&message);
                    return message;
                }
            }
            // There is one consumer. A push before this line leaves a permit, so this does not miss it.
            self.pushed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_equal_message_is_queued_again_only_after_the_first_left_the_queue() {
        let queue = Queue::default();
        queue.push(0, b"a".to_vec());
        queue.push(0, b"b".to_vec());
        queue.push(0, b"a".to_vec());
        queue.push(1, b"a".to_vec());
        assert_eq!(queue.next().await, (0, b"a".to_vec()));
        queue.push(0, b"a".to_vec());
        assert_eq!(queue.next().await, (0, b"b".to_vec()));
        assert_eq!(queue.next().await, (1, b"a".to_vec()));
        assert_eq!(queue.next().await, (0, b"a".to_vec()));
    }

    #[tokio::test]
    async fn a_message_that_was_not_handled_comes_back_once_after_its_pause() {
        let queue = Queue::default();
        let begun = Instant::now();
        queue.push_after(FIRST_REST, (0, b"a".to_vec()));
        queue.push_after(FIRST_REST, (0, b"a".to_vec()));
        assert_eq!(queue.next().await, (0, b"a".to_vec()));
        assert!(begun.elapsed() >= FIRST_REST);
        assert!(queue.pending().order.is_empty() && queue.pending().resting.is_empty());
    }

    #[tokio::test]
    async fn a_flood_ends_in_one_empty_message_per_channel() {
        let queue = Queue::default();
        for number in 0..10 * LONGEST_QUEUE {
            queue.push(number % 2, number.to_le_bytes().to_vec());
        }
        let pending = queue.pending();
        assert_eq!(pending.order.len(), LONGEST_QUEUE + 2);
        assert_eq!(pending.order.iter().filter(|(_, payload)| payload.is_empty()).count(), 2);
    }
}
