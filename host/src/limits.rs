//! Every limit of the host and the reason for its value. Nothing is unlimited and there is no way
//! to say so: a value that an operator may change has a floor and a ceiling.
//!
//! Sizes are in bytes, durations are [`Duration`]s; names carry the unit where the type does not.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// --- retention --------------------------------------------------------------------------------

/// Days for which a notification is kept after its end: a month of bills and complaints.
pub const RETENTION_DAYS_DEFAULT: u16 = 30;
/// Days for which an event is kept: what auditors ask for.
pub const AUDIT_RETENTION_DAYS_DEFAULT: u16 = 365;
/// The ceiling of both: ten years.
pub const RETENTION_DAYS_MAX: u16 = 3_650;
/// Rows that are removed in one transaction: some milliseconds of the writer's time.
pub const PURGE_CHUNK: usize = 200;
/// The pause between two of them, in which callers and deliveries get their turn.
pub const PURGE_PAUSE: Duration = Duration::from_millis(100);
/// How often the store looks for what is too old.
pub const PURGE_EVERY: Duration = Duration::from_mins(10);
/// An idempotency key whose time is over is forgotten so much later, or a machine's clock that is
/// set back would find it gone.
pub const IDEMPOTENCY_FORGET_AFTER: Duration = Duration::from_hours(12);

// --- events ----------------------------------------------------------------------------------

/// What an event says in words. A sentence or a small JSON object; whoever has more to say logs it.
pub const EVENT_DETAIL_BYTES_MAX: usize = 2 * KIB;
/// Events of one page: a few hundred kilobytes at the most in answers that are streamed.
pub const EVENTS_LIMIT_MAX: usize = 1_000;

// --- the sandbox: one instance ---------------------------------------------------------------

/// Memory of one instance, summed over all its linear memories and tables. A Rust channel uses
/// 2 MiB; language runtimes ask for more and are given it per plugin.
pub const MEMORY_BYTES_DEFAULT: usize = 64 * MIB;
/// The ceiling of `limits.memory_bytes`: what one slot of the pooling allocator reserves.
pub const MEMORY_BYTES_MAX: usize = 512 * MIB;
/// Elements of all tables of one instance; counted at 16 bytes each against the memory limit.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Core instances, memories and tables of one component: generous for what toolchains emit
/// (componentize-py makes about 30 core instances), tight for a bomb.
pub const CORE_INSTANCES_MAX: usize = 64;
/// Linear memories of one component instance.
pub const MEMORIES_MAX: usize = 16;
/// Tables of one component instance.
pub const TABLES_MAX: usize = 32;

/// Wall time of one `send`: longer than any provider's own time limit that is worth waiting for.
pub const SEND_WALL_DEFAULT: Duration = Duration::from_secs(10);
/// The floor of `limits.wall_ms`.
pub const SEND_WALL_MIN: Duration = Duration::from_millis(100);
/// The ceiling of `limits.wall_ms`.
pub const SEND_WALL_MAX: Duration = Duration::from_secs(120);
/// CPU time of one `send`. A formatting job takes well under a millisecond.
pub const SEND_CPU_DEFAULT: Duration = Duration::from_secs(1);
/// The ceiling of `limits.cpu_ms`.
pub const SEND_CPU_MAX: Duration = Duration::from_secs(60);
/// The floor of `limits.cpu_ms`.
pub const SEND_CPU_MIN: Duration = Duration::from_millis(10);
/// How often the epoch ticks while guests run: the grain of every CPU limit, and how long one guest
/// can hold a thread before it yields. A neighbour's message waits for such a slice of each guest that
/// is in front of it.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);
/// The same while none has run for a while: nobody's processor is woken up for nothing.
pub const EPOCH_TICK_IDLE: Duration = Duration::from_millis(10);
/// A guest that has computed for so long in one call goes on in the background, seen at the epoch's
/// next tick. The work of a small plugin is a tenth of it.
pub const BACKGROUND_AFTER: Duration = Duration::from_micros(500);
/// After such a call so many calls of its channel begin in the background: what computes for long mostly
/// does so again, and its first slice would be in front of everybody else's messages each time.
pub const BACKGROUND_CALLS: u32 = 32;
/// How much less right to the processor the threads there have (`nice`, setpriority(2)): under full
/// load about a tenth of what the others have, which is slow and not nothing.
pub const BACKGROUND_NICENESS: i32 = 10;
/// How many processors they leave to the others, if there are more than that: a message that comes
/// while all of them compute would sometimes wait for the kernel's clock to get one back.
pub const BACKGROUND_PROCESSORS_SPARED: usize = 1;
/// Wall time of `initialize` (and of `describe`): it runs in front of the first message.
pub const INITIALIZE_WALL: Duration = Duration::from_secs(3);
/// Wall time of `health`.
pub const HEALTH_WALL: Duration = Duration::from_secs(1);
/// Wall time of `shutdown`, inside the grace of the whole host.
pub const SHUTDOWN_WALL: Duration = Duration::from_secs(5);

/// Stack of a guest.
pub const WASM_STACK_BYTES: usize = 512 * KIB;
/// Stack of the fiber that a guest runs on; must exceed the guest's own.
pub const FIBER_STACK_BYTES: usize = MIB;
/// Bytes copied into the host by the arguments of one host call (wasmtime: hostcall fuel).
pub const HOST_CALL_COPY_BYTES: usize = 8 * MIB;
/// Entries of the resource table of one instance.
pub const RESOURCES_MAX: usize = 1_000;
/// Random bytes in one call.
pub const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Details of a receipt that are looked at.
pub const RECEIPT_DETAILS_MAX: usize = 16;
/// Secrets that a plugin's manifest lists; the largest of known providers has five.
pub const MANIFEST_SECRETS_MAX: usize = 64;
/// Origins that a plugin's manifest asks for.
pub const MANIFEST_HOSTS_MAX: usize = 256;
/// Formats that a plugin's manifest names; there are two.
pub const MANIFEST_FORMATS_MAX: usize = 8;
/// Rates that a plugin's manifest names; [`RATES_MAX`] of them are kept.
pub const MANIFEST_RATES_MAX: usize = 64;
/// One text of a manifest: a name, a sentence, an origin.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 4 * KIB;
/// The options-schema of a plugin. Those of the shipped channels have 2 to 6 KiB.
pub const SCHEMA_BYTES_MAX: usize = 256 * KIB;
/// Parts that an options-schema has when all of its `$ref` are followed: what one look at a
/// channel's options may cost, in steps of a microsecond at the most.
pub const SCHEMA_STEPS_MAX: usize = 50_000;
/// How deep an options-schema goes, `$ref` followed: it is walked on the host's own stack.
pub const SCHEMA_DEPTH_MAX: usize = 128;
/// What one pattern of an options-schema may take compiled.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = MIB;

/// One log line of a guest; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = KIB;
/// All log lines of one call of a guest; what is more is counted and dropped.
pub const LOG_CALL_BYTES_MAX: usize = 16 * KIB;
/// Fields of one log line.
pub const LOG_FIELDS_MAX: usize = 16;

/// Keys of one channel's `state`.
pub const STATE_KEYS_MAX: usize = 64;
/// One key of `state`.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// All of one channel's `state`, keys and values.
pub const STATE_BYTES_MAX: usize = 64 * KIB;

// --- the sandbox: pools of instances ---------------------------------------------------------

/// Live instances of one channel unless `limits.instances_max` says otherwise.
pub const INSTANCES_PER_BINDING_DEFAULT: usize = 16;
/// The ceiling of `limits.instances_max`.
pub const INSTANCES_PER_BINDING_MAX: usize = 2_000;
/// Live instances of the process. Each takes 4 to 7 memory maps and Linux allows 65,530 a process
/// (`vm.max_map_count`); measured failure at 9,350.
pub const INSTANCES_MAX: usize = 4_000;
/// One tenant has at most this part of them, so that one whose plugins all hang leaves room for the
/// others. Fewer of those plugins that have several memories.
pub const INSTANCES_TENANT_PARTS: usize = 2;
/// The memory of all guests together, as a part of what the machine or the control group has: the
/// rest is for the host, its queue and the system's caches.
pub const GUEST_MEMORY_PERCENT: usize = 75;
/// What the machine has, if it does not say.
pub const GUEST_MEMORY_UNKNOWN_MACHINE: usize = 2 * 1024 * MIB;
/// The floor of `--guest-memory-mib`: one instance of every usual kind.
pub const GUEST_MEMORY_MIB_MIN: u64 = 64;
/// The ceiling of `--guest-memory-mib`: 16 TiB, more than a machine has.
pub const GUEST_MEMORY_MIB_MAX: u64 = 16 * 1024 * 1024;
/// Beyond this part of it no new instance is started before idle ones have made room, so that those
/// that work can still grow.
pub const GUEST_MEMORY_START_PERCENT: usize = 90;
/// One channel has at most this part of it (and always room for one instance), so that a single one
/// that takes all it can get leaves room for the others.
pub const GUEST_MEMORY_CHANNEL_PARTS: usize = 4;
/// A message whose instance was denied memory for that reason comes back after this.
pub const GUEST_MEMORY_PAUSE: Duration = Duration::from_secs(1);
/// Calls after which an instance is replaced: bounds what a leaking guest can pile up.
pub const INSTANCE_CALLS_MAX: u32 = 1_000;
/// The ceiling of `--instance-idle-seconds`: longer than an instance lives.
pub const INSTANCE_IDLE_SECONDS_MAX: u64 = 3_600;
/// An instance without a call for so long is closed.
pub const INSTANCE_IDLE_MAX: Duration = Duration::from_mins(1);
/// An instance is replaced at this age (within 10 %, so that a fleet does not do it at once).
pub const INSTANCE_AGE_MAX: Duration = Duration::from_hours(1);
/// Pause before a new instance after a crash: first and longest.
pub const RESTART_BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest pause before a new instance after a crash.
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Crashes without one success that return a freshly swapped plugin to its last good file.
pub const PROBATION_STRIKES: u32 = 3;
/// Crashes by different messages inside [`QUARANTINE_WINDOW`], without a success between them, that
/// put a channel into quarantine.
pub const QUARANTINE_STRIKES: u32 = 5;
/// The time in which crashes add up to a quarantine.
pub const QUARANTINE_WINDOW: Duration = Duration::from_mins(1);
/// How long a quarantine lasts before one call is let through to try: the first time. A file that
/// was put back is soon found out …
pub const QUARANTINE_PAUSE_FIRST: Duration = Duration::from_secs(10);
/// … and at most, doubled after every try that failed: a channel that stays broken costs four
/// crashes an hour.
pub const QUARANTINE_PAUSE_MAX: Duration = Duration::from_mins(15);
/// Faults of one message, with others of its channel delivered meanwhile, after which it is given
/// up: then it is the message, and a third try tells as much as a tenth.
pub const POISON_FAULTS: u32 = 3;
/// Messages whose faults are counted for that; of what is beyond, those that failed longest ago are
/// forgotten and counted anew.
pub const POISON_SUSPECTS_MAX: usize = 4_096;

// --- the sandbox: the async flavour ------------------------------------------------------------

/// Sends at the same time in one instance of the async flavour unless `limits.in_flight_max` says
/// otherwise: a trap ends all of them, and all of them share one core.
pub const IN_FLIGHT_PER_INSTANCE_DEFAULT: usize = 64;
/// The ceiling of `limits.in_flight_max`.
pub const IN_FLIGHT_PER_INSTANCE_MAX: usize = 1_024;
/// Operations (requests, timers, waits for a websocket) of one instance at the same time: some for
/// each send that may be in flight.
pub const OPERATIONS_PER_INSTANCE_MAX: usize = 4_096;
/// The longest `sleep` of a guest; what is longer is cut. The heartbeats and pauses that providers
/// ask for are below.
pub const GUEST_SLEEP_MAX: Duration = Duration::from_hours(24);
/// Events that a guest is given in one turn, so that the first of them are not kept waiting by the
/// last …
pub const TURN_EVENTS_MAX: usize = 256;
/// … and the bytes in them: they are copied into its memory at once.
pub const TURN_BYTES_MAX: usize = 4 * MIB;
/// What an instance of the async flavour may compute at the most, in multiples of `cpu_ms`: it begins
/// with one, and gets one for each send.
pub const CPU_ALLOWANCE_MAX: u32 = 16;
/// Beside these it gets this part of the time that passes, for a connection that lives on: a
/// heartbeat takes less than a thousandth, and what spins is stopped.
pub const CPU_ALLOWANCE_PER_WALL: f64 = 0.1;
/// Sends after which an instance of the async flavour is replaced (the same reason as
/// [`INSTANCE_CALLS_MAX`], for an instance that does the work of 64).
pub const ASYNC_INSTANCE_CALLS_MAX: u32 = 64_000;
/// Connected plugins that are being started at the same time: after a start of the host each of
/// them opens its connection.
pub const CONNECTIONS_STARTING_MAX: usize = 16;
/// How often a connected plugin is asked how it is: `/health` tells what it said last.
pub const CONNECTION_HEALTH_EVERY: Duration = Duration::from_secs(5);
/// … and while it is not well: an operator watches for the moment when it is again.
pub const CONNECTION_UNWELL_EVERY: Duration = Duration::from_secs(1);
/// The pause before a connected plugin whose connection ended is started again: first …
pub const RECONNECT_BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// … and longest.
pub const RECONNECT_BACKOFF_MAX: Duration = Duration::from_mins(5);
/// … and as the plugin asked, at most: its messages wait for as long, and a provider's mistake must not
/// stop a channel for a year.
pub const RECONNECT_ASKED_MAX: Duration = Duration::from_hours(24);
/// A connected plugin that ran for so long has shown that it works: the next pause is the first
/// again.
pub const RECONNECT_PROVEN: Duration = Duration::from_mins(1);

/// A component file.
pub const WASM_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Components compiled at the same time: compiling is CPU work of seconds, and one core stays free.
pub const COMPILES_AT_ONCE: usize = 1;

// --- egress ----------------------------------------------------------------------------------

/// Bytes of requests and answers of `wasi:http` that lie in the host for one instance at a time: a
/// guest that neither finishes its requests nor reads its answers would have the host keep a
/// thousand of each. Eight of the largest.
pub const EGRESS_HELD_BYTES_MAX: usize = 8 * MIB;
/// Outbound requests of one channel at the same time.
pub const EGRESS_PER_BINDING_DEFAULT: usize = 16;
/// The ceiling of `limits.egress_max`: what one provider would take from one customer.
pub const EGRESS_PER_BINDING_MAX: usize = 1_024;
/// The longest wait for the connection and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait for the head of the answer.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence inside the answer's body.
pub const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(5);
/// A message of a websocket, in both directions.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = MIB;
/// The longest wait for a websocket's connection, TLS and handshake.
pub const SOCKET_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait to get a websocket's goodbye out.
pub const SOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Websockets of one instance: the one in use, the one that takes over, and the ones that close.
pub const SOCKETS_PER_INSTANCE_MAX: usize = 4;
/// An outbound request's body.
pub const EGRESS_REQUEST_BYTES_MAX: usize = MIB;
/// An answer's body.
pub const EGRESS_RESPONSE_BYTES_MAX: usize = MIB;
/// All headers of an outbound request, or of an answer.
pub const EGRESS_HEADER_BYTES_MAX: usize = 32 * KIB;
/// An outbound request's URL: what common servers take.
pub const EGRESS_URL_BYTES_MAX: usize = 8 * KIB;
/// The longest wait for a name's addresses, inside [`CONNECT_TIMEOUT`].
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// TLS sessions that one pool of connections can resume: a plugin talks to one or two hosts.
pub const EGRESS_TLS_SESSIONS_PER_POOL: usize = 32;
/// Name lookups running at the same time in the process. Each holds a thread of the blocking pool
/// (512) until the system's resolver gives up, however short our own patience is.
pub const LOOKUPS_MAX: usize = 128;
/// Name lookups running at the same time for one pool of connections, so that one plugin with a dead
/// name server cannot take all of [`LOOKUPS_MAX`].
pub const LOOKUPS_PER_POOL: usize = 8;
/// Texts for `authorization: Basic …` of one channel: user name and secret are nearly always one
/// pair.
pub const BASIC_AUTHS_MAX: usize = 64;
/// The user name of one of these.
pub const BASIC_AUTH_USERNAME_BYTES_MAX: usize = 256;
/// Signed tokens of one channel: Web Push signs one for each push service, others one in all. The one
/// that was not asked for the longest time makes room.
pub const JWTS_MAX: usize = 32;
/// The header or the claims of such a token, as a plugin writes them: providers ask for a few names.
pub const JWT_PART_BYTES_MAX: usize = 4 * 1024;
/// Credentials that a plugin has handed over: one for each service that it exchanges its secrets at.
pub const KEPT_SECRETS_MAX: usize = 16;
/// One of these. Access tokens with many claims have some kilobytes; more fits no header.
pub const KEPT_SECRET_BYTES_MAX: usize = 16 * 1024;
/// Idle connections kept to one host by one pool.
pub const EGRESS_IDLE_PER_HOST: usize = 64;
/// An idle connection is closed after so long: below the minute that most load balancers allow.
pub const EGRESS_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

// --- mail (SMTP) -----------------------------------------------------------------------------

/// A whole message. All attachments of a notification arrive in [`REQUEST_BODY_BYTES_MAX`], and
/// every coding of them fits.
pub const SMTP_MESSAGE_BYTES_MAX: usize = MIB;
/// A line of a message, without its end: RFC 5322, section 2.1.1.
pub const SMTP_LINE_BYTES_MAX: usize = 998;
/// Recipients of one message: what every server must take (RFC 5321, section 4.5.3.1.8).
pub const SMTP_RECIPIENTS_MAX: usize = 100;
/// An address: RFC 5321, section 4.5.3.1.3, without the angle brackets.
pub const SMTP_ADDRESS_BYTES_MAX: usize = 254;
/// The part of an address in front of the "@": RFC 5321, section 4.5.3.1.1.
pub const SMTP_LOCAL_PART_BYTES_MAX: usize = 64;
/// A user name: the longest address, twice.
pub const SMTP_USERNAME_BYTES_MAX: usize = 512;
/// One reply of a server, all lines: the longest known greeting is a quarter of that.
pub const SMTP_REPLY_BYTES_MAX: usize = 4 * KIB;
/// The text of a reply that a guest gets.
pub const SMTP_REPLY_TEXT_BYTES_MAX: usize = KIB;
/// The longest wait for each reply but the last. RFC 5321 (section 4.5.3.2) grants servers minutes,
/// for relays that keep a queue of their own; here a call has seconds, the queue is ours, and
/// nothing has been taken yet. For the reply to the whole message there is no such limit: it may
/// take all that is left of the call, because who stops waiting for that one does not know whether
/// the message is delivered.
pub const SMTP_REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one channel at the same time, idle ones among them: common servers allow 3 to 50
/// for a client. A message that finds all of them busy waits, inside its own time.
pub const SMTP_CONNECTIONS_MAX: usize = 4;
/// Messages over one connection; servers allow 20 to 100.
pub const SMTP_MESSAGES_PER_CONNECTION: u32 = 20;

// --- the API ---------------------------------------------------------------------------------

/// The body of one request to the API: an attachment or two, not a file server.
pub const REQUEST_BODY_BYTES_MAX: usize = 256 * KIB;
/// The body of a batch.
pub const BATCH_BODY_BYTES_MAX: usize = MIB;
/// Notifications of one batch.
pub const BATCH_ITEMS_MAX: usize = 100;
/// Notifications that the items of one batch with several channels become: with 1 MiB of bodies in
/// them, each is stored once a channel.
pub const BATCH_CHILDREN_MAX: usize = 200;
/// How long a body may take to arrive.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How deep the JSON of a request may be nested.
pub const JSON_DEPTH_MAX: usize = 64;
/// Characters of `message`. What a provider takes is less, and its plugin's manifest says how much.
pub const MESSAGE_BYTES_MAX: usize = 128 * KIB;
/// Characters of `title` and of `targetId`, in bytes: longer than any provider's.
pub const TITLE_BYTES_MAX: usize = KIB;
/// Attachments of one notification; what a plugin takes is less, and its manifest says how much.
pub const ATTACHMENTS_MAX: usize = 16;
/// How far ahead `sendAt` and `expiresAt` may lie.
pub const SCHEDULE_AHEAD_MAX: Duration = Duration::from_hours(365 * 24);
/// The longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);
/// How long `POST /notifications` waits for the outcome when the caller does not say.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The ceiling of `Prefer: wait`.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// Rows of one page of a listing.
pub const LIST_LIMIT_MAX: usize = 200;
/// Rows of one page when the caller does not say.
pub const LIST_LIMIT_DEFAULT: usize = 50;
/// Channels that one notification goes to (`channels`): each is a notification of its own.
pub const FAN_OUT_MAX: usize = 16;
/// Steps of a request's `fallback`: nobody waits for a sixth channel.
pub const REQUEST_FALLBACK_STEPS_MAX: usize = 5;
/// Notifications of a parent that its answer tells in full. Replays with fallbacks may make more;
/// these are the last.
pub const PARENT_NOTIFICATIONS_SHOWN_MAX: usize = 128;
/// An `orderingKey`: an id of the caller's, not a text.
pub const ORDERING_KEY_BYTES_MAX: usize = 128;
/// A `callbackUrl`: what every server takes.
pub const CALLBACK_URL_BYTES_MAX: usize = 2 * KIB;
/// Dead letters that one request replays or purges unless it says how many.
pub const DEAD_LETTERS_LIMIT_DEFAULT: usize = 100;
/// Streams of events (`GET /events`) of one tenant at the same time: each of its programs has one.
pub const EVENT_STREAMS_PER_TENANT_MAX: usize = 16;
/// Streams of events of the process: each reads the store when something happens.
pub const EVENT_STREAMS_MAX: usize = 512;
/// Events that a stream holds in memory, having read them; the next ones are read when these are
/// taken.
pub const EVENT_STREAM_PAGE: usize = 100;
/// The pause between two reads of one stream: with all streams open, 5,000 reads a second.
pub const EVENT_STREAM_PAUSE: Duration = Duration::from_millis(100);
/// A stream without an event sends a comment this often, so that nobody between takes it for dead.
pub const EVENT_STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events of the surface that wait to be written down; the next one is dropped and counted.
pub const AUDIT_QUEUE_MAX: usize = 256;
/// Requests that were refused for their key are summed up in one event this often at most: whoever
/// guesses keys must not fill the trail.
pub const AUDIT_REFUSALS_EVERY: Duration = Duration::from_mins(1);
/// Tenants that one page of the operator's listing looks through.
pub const ADMIN_TENANTS_PER_PAGE: usize = 100;
/// Connections to the listener at the same time.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Connections of one source (an IPv4 address, or a /64 of IPv6) at the same time: a quarter, and
/// more than a proxy keeps open. The next one is closed at once.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = CONNECTIONS_MAX / 4;
/// Keys of one source that may be nobody's one after the other: a deployment with a stale key.
pub const KEY_FAILURES_BURST: u32 = 20;
/// … and then one in this time.
pub const KEY_FAILURE_EVERY: Duration = Duration::from_secs(3);
/// Sources whose failures are counted, 40 bytes each; of what is beyond, those that failed longest
/// ago are forgotten.
pub const KEY_FAILURE_SOURCES_MAX: usize = 16_384;
/// Tenants whose refused calls are events of their own within [`AUDIT_REFUSALS_EVERY`]; those of
/// others are only counted.
pub const AUDIT_REFUSED_TENANTS_MAX: usize = 256;
/// The head of a request must have arrived in this time; also how long a connection may idle. That it
/// is over is seen a quarter of it later at most.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection is still read, and its bytes thrown away, after a refusal that left a part of
/// the request unread, so that the refusal arrives. Who does not read by then is not waiting for it.
pub const CLOSE_LINGER: Duration = Duration::from_secs(1);
/// The same in bytes: a body that is thirty times too large still gets its answer.
pub const CLOSE_LINGER_BYTES_MAX: usize = 8 * MIB;
/// The head of a request: line and headers.
pub const HEADER_BYTES_MAX: usize = 32 * KIB;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// Requests at the same time on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// How long a client should wait when the store has too much to do.
pub const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a client should wait when the store takes nothing new or the host stops.
pub const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(5);
/// Plugins that have metrics of their own; what is beyond is counted under "other".
pub const METRIC_PLUGINS_MAX: usize = 512;
/// Reports of ended tasks that health keeps.
pub const TASK_FAILURES_MAX: usize = 50;

// --- queue and delivery ----------------------------------------------------------------------

/// `[[tenant.callback]]` of one tenant: each is a message for each end of a notification.
pub const CALLBACKS_PER_TENANT_MAX: usize = 8;
/// Callbacks of one tenant that are posted at the same time.
pub const CALLBACKS_AT_ONCE: usize = 16;
/// How long a receiver of callbacks may take (Standard Webhooks 1.0.0: 15 to 30 s).
pub const CALLBACK_TIMEOUT: Duration = Duration::from_secs(15);
/// Receivers of callbacks to which connections are kept.
pub const CALLBACK_DOORS_MAX: usize = 1_024;
/// Channels that one notification may go through, the first one and its fallbacks.
pub const FALLBACK_STEPS_MAX: usize = 8;
/// The longest pause that the host itself makes after a failure that counts as no attempt, because
/// the provider said when to come back: with this, three days of it are 864 requests at most.
pub const RETRY_ASKED_CAP: Duration = Duration::from_mins(5);
/// Messages of a channel whose breaker is open that are looked at in one turn, to hand those that
/// have a fallback on to it.
pub const FALLBACK_SWEEP: usize = 16;
/// Live notifications (queued or being delivered) of one tenant unless `limits.queue` says so.
pub const QUEUE_PER_TENANT_DEFAULT: u64 = 10_000;
/// The ceiling of `limits.queue`.
pub const QUEUE_PER_TENANT_MAX: u64 = 10_000_000;
/// Deliveries running at the same time in the process.
pub const DELIVERIES_AT_ONCE: usize = 2_048;
/// What a tenant of weight 1 may lease in one turn of the ring.
pub const FAIRNESS_QUANTUM: usize = 16;
/// Of so many turns of a tenant's channels one goes to the channel that has waited longest, whatever
/// is more urgent: often enough that nothing stands still, seldom enough that urgent is urgent.
pub const TENANT_TURNS: usize = 4;
/// Of so many jobs of a lane one is the one that has been due longest, whatever is more urgent. Less
/// often than among channels: inside one an alarm's delay is a message's, and not a whole turn.
pub const LANE_TURNS: usize = 8;
/// The ceiling of `limits.weight`: a hundred times the share of a tenant that says nothing.
pub const WEIGHT_MAX: u32 = 100;
/// A lease outlives the longest call by this much, so that a slow settle is not a lost lease.
pub const LEASE_MARGIN: Duration = Duration::from_secs(20);
/// Attempts of one notification.
pub const ATTEMPTS_DEFAULT: u32 = 10;
/// The ceiling of `retry.attempts`.
pub const ATTEMPTS_MAX: u32 = 100;
/// The pause after the first failure: a hiccup is over by then.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Each pause is so many times the one before. With ten attempts, 5 s at first and a day at most
/// this makes three days; twice would use them all up within the first hour of an outage.
pub const RETRY_FACTOR: f64 = 5.0;
/// The longest pause between two attempts: somebody who mends a provider in the morning should not
/// wait longer than to the next.
pub const RETRY_CAP: Duration = Duration::from_hours(24);
/// How long a notification is tried at all.
pub const RETRY_SPAN: Duration = Duration::from_hours(72);
/// The ceiling of `retry.span_ms`, `retry.cap_ms` and `retry.first_ms`: nobody wants to be told
/// after a month.
pub const RETRY_SPAN_MAX: Duration = Duration::from_hours(30 * 24);
/// The ceiling of `retry.factor`.
pub const RETRY_FACTOR_MAX: f64 = 10.0;
/// Failures in a row, without one success between them, that open the breaker of a destination or
/// of a channel's credential. Fewer would take a few bad messages for an outage.
pub const BREAKER_FAILURES: u32 = 10;
/// The calls to one destination, none more than [`BREAKER_WINDOW_GAP`] after the one before, of which
/// [`BREAKER_WINDOW_FAILURES`] failures open its breaker although they were not in a row. At most 63,
/// the bits of a word.
pub const BREAKER_WINDOW: u32 = 50;
/// Nine of ten: below that, holding back what would get through is worse than the calls in vain.
pub const BREAKER_WINDOW_FAILURES: u32 = 45;
/// What is further apart is no outage, and there is no load to spare a destination.
pub const BREAKER_WINDOW_GAP: Duration = Duration::from_mins(1);
/// [`BREAKER_FAILURES`] for a provider's host, over all tenants of a plugin.
pub const BREAKER_FAILURES_PROVIDER: u32 = 20;
/// Tenants that must have seen such failures: what one tenant alone cannot reach is that tenant's
/// own trouble, and must not stop the others.
pub const BREAKER_PROVIDER_TENANTS: usize = 2;
/// How long a breaker stays open before one message is let through to try: the first time.
pub const BREAKER_OPEN_FIRST: Duration = Duration::from_secs(1);
/// … and at most, doubled after every try that failed. A provider that is back is found this soon.
pub const BREAKER_OPEN_MAX: Duration = Duration::from_mins(5);
/// The longest waiting time of a provider that holds back *other* messages; the message that got it
/// waits for all of it. A provider's mistake must not stop a channel for a year.
pub const BREAKER_ASKED_MAX: Duration = Duration::from_hours(24);
/// A channel that is stopped as misconfigured lets one message through this often, in case it was
/// mended at the provider and not here.
pub const MISCONFIGURED_PROBE: Duration = Duration::from_mins(5);
/// Messages that wait for the result of somebody else's probe look again after this.
pub const BREAKER_LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Channels whose breaker, throttle and provider are remembered: 300 bytes each. Of what is beyond,
/// the one not used for longest is forgotten, which closes its breaker and fills its bucket.
pub const GUARDED_LANES_MAX: usize = 65_536;
/// The same for destinations that fail or are throttled.
pub const GUARDED_DESTINATIONS_MAX: usize = 65_536;
/// The same for provider hosts that fail: one for each plugin and host.
pub const GUARDED_PROVIDERS_MAX: usize = 4_096;
/// Breakers that `/health` names one by one; all are counted.
pub const BREAKERS_SHOWN_MAX: usize = 200;
/// Channels in quarantine that `GET /admin/quarantine` names one by one; all are counted.
pub const QUARANTINED_SHOWN_MAX: usize = 200;
/// Alarms that wait to be written down as events; there is one when a breaker opens or closes.
pub const ALARMS_WAITING_MAX: usize = 1_024;
/// The floor of `throttle.rate_per_s`: one delivery in a hundred seconds.
pub const THROTTLE_PER_S_MIN: f64 = 0.01;
/// The ceiling of `throttle.rate_per_s`: more than one host delivers.
pub const THROTTLE_PER_S_MAX: f64 = 100_000.0;
/// Rates of a plugin's manifest that are kept; providers publish one or two.
pub const RATES_MAX: usize = 8;
/// A throttled channel takes a turn at most this often, with what may be sent by then: a turn for
/// each message would cost a trip to the store each.
pub const THROTTLE_TURN: Duration = Duration::from_millis(20);
/// The text of a failure that is stored with an attempt.
pub const ERROR_BYTES_MAX: usize = KIB;
/// The store's writer takes so many operations into one transaction at most.
pub const GROUP_COMMIT_OPS_MAX: usize = 1_024;
/// The store's writer takes so many bytes into one transaction at most.
pub const GROUP_COMMIT_BYTES_MAX: usize = 4 * MIB;
/// Operations waiting for the store's writer; the next one is refused.
pub const STORE_QUEUE_OPS_MAX: usize = 16_384;

/// A security event of one channel about one thing is written once in this time, with how often it
/// happened: a plugin in a loop must not fill the trail.
pub const SECURITY_EVENTS_EVERY: Duration = Duration::from_secs(60);
/// What is told apart within that time: more channels at once would be an attack on the table.
pub const SECURITY_NEWS_MAX: usize = 1_024;
/// Of these, what one channel may take before the rest of it is summed up: enough for each of its
/// providers.
pub const SECURITY_NEWS_PER_CHANNEL: usize = 8;
/// What is shown of an origin: the longest name has 253 bytes, and there are scheme and port.
pub const SECURITY_ORIGIN_BYTES_MAX: usize = 280;
/// Alarms that `/health` remembers: enough to see which channels they are about.
pub const SECURITY_ALARMS_MAX: usize = 50;
/// How long an alarm makes `/health` say degraded: long enough for whoever looks every few minutes.
pub const SECURITY_ALARM_FOR: Duration = Duration::from_secs(15 * 60);
/// Origins of a plugin that are shown as not granted: more than a plugin with a short list of hosts
/// has; one that needs more takes a wildcard.
pub const NOT_GRANTED_ORIGINS_MAX: usize = 32;

// --- configuration and reload ----------------------------------------------------------------

/// One configuration file. Ten thousand tenants are 2 MB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A file with one secret: a key pair in PEM is 5 KiB.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// A tenant's key: what is shorter than 128 bits in hexadecimal can be guessed.
pub const AUTH_KEY_CHARS_MIN: usize = 32;
/// A tenant's name: it stands in every answer.
pub const TENANT_NAME_BYTES_MAX: usize = 200;
/// The floor of `limits.rate`: one request in a hundred seconds.
pub const RATE_PER_S_MIN: f64 = 0.01;
/// The ceiling of `limits.rate`: more than the store can take.
pub const RATE_PER_S_MAX: f64 = 1_000_000.0;
/// The ceiling of `limits.burst`.
pub const BURST_MAX: u32 = 1_000_000;
/// A burst of file events is over after this much quiet …
pub const RELOAD_QUIET: Duration = Duration::from_millis(250);
/// … or after this long, whatever still happens.
pub const RELOAD_QUIET_MAX: Duration = Duration::from_secs(2);
/// The files are looked at this often even when no event came: network file systems send none.
pub const RELOAD_POLL: Duration = Duration::from_secs(30);
/// How long a shutdown may take.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);
