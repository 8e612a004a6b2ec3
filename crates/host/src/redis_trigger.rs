//! Redis channels that ring components.
//!
//! As in Spin, one message at a time is handled for each server, and a handler's error is logged and forgotten. What this
//! host adds: it reconnects by itself, rings every component once with an empty message after each (re)connect, because
//! messages may have been missed, and never lets a flood grow: a message that is pending already is not queued again, and
//! when the queue is full the rest is remembered as one empty message per channel.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::allowed_hosts::Destination;
use crate::bindings::trigger::{RedisTrigger as Guest, RedisTriggerPre};
use crate::component::Component;
use crate::log;
use crate::options::Limits;
use crate::state::State;

/// Messages that wait at most; beyond it only the fact that a channel rang is kept.
const LONGEST_QUEUE: usize = 4096;
/// A message larger than this is handed on as an empty one.
const LARGEST_MESSAGE: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the server is tried at start before that is an error.
const ATTEMPTS_AT_START: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often the connection is checked when no message comes; a dead one would otherwise go unnoticed.
const CHECK: Duration = Duration::from_secs(5);

/// One Redis server that rings components.
pub struct Trigger {
    /// With credentials.
    address: String,
    /// Without.
    name: String,
    bells: Vec<Bell>,
    limits: Arc<Limits>,
    queue: Queue,
}

/// A channel and who is rung by it.
pub struct Bell {
    /// The channel.
    pub channel: String,
    /// The component.
    pub component: Arc<Component>,
    /// Its code.
    pub code: RedisTriggerPre<State>,
}

impl Bell {
    /// Checks that the component handles messages.
    pub fn new(channel: String, component: Arc<Component>, code: InstancePre<State>) -> anyhow::Result<Self> {
        let code = RedisTriggerPre::new(code).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(Self { channel, component, code })
    }
}

impl Trigger {
    /// For the server at `address`.
    pub fn new(address: String, bells: Vec<Bell>, limits: Arc<Limits>) -> Self {
        let name = Destination::parse(&address).map_or_else(|| "redis".to_owned(), |place| place.to_string());
        Self { address, name, bells, limits, queue: Queue::default() }
    }

    /// Subscribes for the first time.
    ///
    /// # Errors
    /// The server can't be reached, after a few attempts.
    pub async fn connect(&self) -> anyhow::Result<redis::aio::PubSub> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.subscribe().await {
                Ok(subscription) => return Ok(subscription),
                Err(error) if attempt == ATTEMPTS_AT_START => {
                    anyhow::bail!("can't reach {} for the Redis triggers: {error}", self.name)
                }
                Err(_) => sleep(pause).await,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        unreachable!("the loop ends with its last attempt")
    }

    /// Rings until `stop` changes, then finishes the message in work.
    pub async fn run(self: Arc<Self>, first: redis::aio::PubSub, mut stop: watch::Receiver<bool>) {
        let listening = tokio::spawn(self.clone().listen(first));
        let mut instances: HashMap<usize, Live> = HashMap::new();
        loop {
            let idle = self.limits.idle_instance_timeout;
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                next = timeout(idle, self.queue.next()) => next,
            };
            let Ok((bell, message)) = next else {
                instances.clear();
                continue;
            };
            instances.retain(|_, live| live.last_use.elapsed() < idle);
            self.ring(bell, message, &mut instances).await;
        }
        listening.abort();
    }

    async fn subscribe(&self) -> redis::RedisResult<redis::aio::PubSub> {
        let connecting = async {
            let client = redis::Client::open(self.address.as_str())?;
            // A server that still loads its data takes subscriptions already, but no component's commands yet.
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

    /// Fills the queue, for good.
    async fn listen(self: Arc<Self>, first: redis::aio::PubSub) {
        let mut subscription = first;
        loop {
            // Messages may have been published while nobody listened. What they ask for needs the same server, most likely.
            self.bells.iter().for_each(|bell| bell.component.services.redis.try_again());
            for bell in 0..self.bells.len() {
                self.queue.push(bell, Vec::new());
            }
            self.receive(subscription).await;
            log::warn(None, &format!("lost {}: connecting again", self.name));
            let mut pause = FIRST_PAUSE;
            subscription = loop {
                match self.subscribe().await {
                    Ok(subscription) => break subscription,
                    Err(_) => sleep(pause).await,
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            };
            log::info(None, &format!("listening to {} again", self.name));
        }
    }

    /// Until the connection is lost.
    async fn receive(&self, subscription: redis::aio::PubSub) {
        let (mut sink, mut messages) = subscription.split();
        loop {
            match timeout(CHECK, messages.next()).await {
                Ok(Some(message)) => {
                    let channel = message.get_channel_name();
                    for (index, bell) in
                        self.bells.iter().enumerate().filter(|(_, bell)| bell.channel == channel)
                    {
                        let payload = message.get_payload_bytes();
                        if payload.len() > LARGEST_MESSAGE {
                            log::warn(
                                Some(&bell.component.id),
                                &format!("a message of {} bytes is handed on empty", payload.len()),
                            );
                            self.queue.push(index, Vec::new());
                        } else {
                            self.queue.push(index, payload.to_vec());
                        }
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    // Subscribing again changes nothing, and needs an answer.
                    let alive = timeout(CONNECT_TIMEOUT, sink.subscribe(&self.bells[0].channel)).await;
                    if !matches!(alive, Ok(Ok(()))) {
                        return;
                    }
                }
            }
        }
    }

    async fn ring(&self, bell: usize, message: Vec<u8>, instances: &mut HashMap<usize, Live>) {
        let Bell { component, code, .. } = &self.bells[bell];
        // Out of the map while at work: an instance that fails is not put back.
        let live = match instances.remove(&bell) {
            Some(live) => Ok(live),
            None => Live::new(component, code).await,
        };
        let mut live = match live {
            Ok(live) => live,
            Err(error) => {
                log::error(Some(&component.id), &format!("can't make an instance: {error:#}"));
                return;
            }
        };
        match timeout(self.limits.request_timeout, live.handle(message)).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                log::error(Some(&component.id), &format!("a message was not handled: {error}"))
            }
            Ok(Err(error)) => {
                log::error(Some(&component.id), &format!("an instance ended: {error:#}"));
                return;
            }
            Err(_) => {
                log::error(Some(&component.id), "a message took longer than the request timeout");
                return;
            }
        }
        if live.uses < self.limits.max_instance_reuse_count {
            instances.insert(bell, live);
        }
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

    /// The outer error is the instance's end, the inner one the guest's.
    async fn handle(&mut self, message: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.uses += 1;
        let guest = &self.guest;
        let outcome = self
            .store
            .run_concurrent(async |accessor| {
                let outcome = guest.spin_redis_inbound_redis().call_handle_message(accessor, message).await?;
                // What the guest does after its answer belongs to the message, too.
                std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                wasmtime::error::Ok(outcome)
            })
            .await??;
        self.last_use = Instant::now();
        Ok(outcome.map_err(|error| format!("{error:?}")))
    }
}

/// Messages that wait, each at most once.
#[derive(Default)]
struct Queue {
    pending: Mutex<Pending>,
    pushed: Notify,
}

#[derive(Default)]
struct Pending {
    order: VecDeque<Message>,
    known: HashSet<Message>,
}

/// The bell's index and what came with it.
type Message = (usize, Vec<u8>);

impl Queue {
    fn push(&self, bell: usize, payload: Vec<u8>) {
        {
            let mut pending = self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // An empty message asks for everything, so it stands for all that there was no room for.
            let message = (bell, if pending.order.len() < LONGEST_QUEUE { payload } else { Vec::new() });
            if !pending.known.insert(message.clone()) {
                return;
            }
            pending.order.push_back(message);
        }
        self.pushed.notify_one();
    }

    async fn next(&self) -> Message {
        loop {
            {
                let mut pending = self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                if let Some(message) = pending.order.pop_front() {
                    pending.known.remove(&message);
                    return message;
                }
            }
            // One consumer, and a push in between leaves a permit: nothing is slept over.
            self.pushed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pending_message_is_queued_once_and_again_after_it_was_taken() {
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
    async fn a_flood_ends_in_one_empty_message_per_channel() {
        let queue = Queue::default();
        for number in 0..10 * LONGEST_QUEUE {
            queue.push(number % 2, number.to_le_bytes().to_vec());
        }
        let pending = queue.pending.lock().unwrap();
        assert_eq!(pending.order.len(), LONGEST_QUEUE + 2);
        assert_eq!(pending.order.iter().filter(|(_, payload)| payload.is_empty()).count(), 2);
    }
}
