//! The process's numbers, for Prometheus. Every label has a bounded set of values: route templates,
//! plugin names of the configuration, closed lists of words. Nothing is labelled by tenant.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::{
    health::GuestsReport,
    plugin_metrics::{AttemptGuard, EgressOutcome, Fault, PluginFamilies, PluginMetrics},
    words::words,
};
use crate::{clock::UnixMs, ids::PluginName, limits::METRIC_PLUGINS_MAX, store::Counters};

words! {
    /// A route of the API.
    pub enum Route {
        /// `POST /notifications`
        Notify = "POST /notifications",
        /// `POST /notifications/batch`
        Batch = "POST /notifications/batch",
        /// `GET /notifications`
        List = "GET /notifications",
        /// `GET /notifications/{id}`
        Read = "GET /notifications/{id}",
        /// `DELETE /notifications/{id}`
        Cancel = "DELETE /notifications/{id}",
        /// `POST /notifications/{id}/replay`
        Replay = "POST /notifications/{id}/replay",
        /// `POST /notifications/replay`
        ReplayRange = "POST /notifications/replay",
        /// `POST /notifications/{id}/purge`
        Purge = "POST /notifications/{id}/purge",
        /// `POST /notifications/purge`
        PurgeRange = "POST /notifications/purge",
        /// `GET /events`
        Events = "GET /events",
        /// `GET /admin/audit`
        AdminAudit = "GET /admin/audit",
        /// `GET /admin/notifications`
        AdminList = "GET /admin/notifications",
        /// `GET /admin/bindings`
        AdminBindings = "GET /admin/bindings",
        /// `GET /admin/plugins`
        AdminPlugins = "GET /admin/plugins",
        /// `GET /admin/quarantine`
        AdminQuarantine = "GET /admin/quarantine",
        /// `DELETE /admin/quarantine`
        AdminReleaseAll = "DELETE /admin/quarantine",
        /// `DELETE /admin/quarantine/{tenant}/{channel}`
        AdminRelease = "DELETE /admin/quarantine/{tenant}/{channel}",
        /// `POST /admin/reload`
        AdminReload = "POST /admin/reload",
        /// `GET /channels`
        Channels = "GET /channels",
        /// `GET /health`
        Health = "GET /health",
        /// `GET /ready`
        Ready = "GET /ready",
        /// `GET /metrics`
        Metrics = "GET /metrics",
        /// `GET /openapi.json`
        OpenApi = "GET /openapi.json",
        /// Everything else.
        Other = "other",
    }
}

words! {
    /// How a reload ended.
    pub enum ReloadOutcome {
        /// The files say what they said before.
        Unchanged = "unchanged",
        /// A new generation is in force.
        Applied = "applied",
        /// Something was wrong and nothing was changed.
        Rejected = "rejected",
        /// A plugin was returned to its last good file.
        RolledBack = "rolled-back",
    }
}

words! {
    /// Why a request was refused before it was looked at; slugs of problems.
    pub enum RefusedWord {
        /// It has no key.
        NoKey = "no-key",
        /// Its key is nobody's.
        WrongKey = "wrong-key",
        /// Its key is nobody's, and so were many before it.
        TooManyFailures = "too-many-failures",
        /// Its key belongs to another tenant than the address that was called.
        WrongContext = "wrong-context",
        /// Its tenant does not take calls from there.
        SourceDenied = "source-denied",
    }
}

type Labels = [(&'static str, &'static str); 1];
type Labels2 = [(&'static str, &'static str); 2];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// From an accept on a fast disk to the longest wait for an outcome.
const HTTP_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];

#[derive(Debug)]
struct RouteMetrics {
    by_class: [Counter; CLASSES.len()],
    seconds: Histogram,
}

/// All metrics. Counting takes no lock but for histograms, whose lock is held for nanoseconds.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: Vec<RouteMetrics>,
    accepted: Counter,
    refused: Vec<Counter>,
    waiting: Gauge,
    reloads: Vec<Counter>,
    reloaded_at: Gauge,
    generation: Gauge,
    config_problems: Gauge,
    lanes: Gauge,
    tasks: Gauge,
    guest_memory: Gauge,
    guest_memory_max: Gauge,
    guest_instances_max: Gauge,
    depth: Family<Labels, Gauge>,
    families: PluginFamilies,
    /// Copied when a plugin is added, so that looking one up takes no lock.
    plugins: ArcSwap<HashMap<PluginName, Arc<PluginMetrics>>>,
    others: Arc<PluginMetrics>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("conductor");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "This program", build);
        let routes = register_routes(&mut registry);
        let accepted = Counter::default();
        registry.register("accepted", "Notifications accepted into the queue", accepted.clone());
        let refused_family = Family::<Labels, Counter>::default();
        registry.register(
            "requests_refused",
            "Requests refused for what they show of themselves",
            refused_family.clone(),
        );
        let refused = RefusedWord::ALL
            .iter()
            .map(|word| refused_family.get_or_create_owned(&[("reason", word.word())]))
            .collect();
        let reload_family = Family::<Labels, Counter>::default();
        registry.register("reloads", "Reloads by outcome", reload_family.clone());
        let reloads = ReloadOutcome::ALL
            .iter()
            .map(|outcome| reload_family.get_or_create_owned(&[("outcome", outcome.word())]))
            .collect();
        let depth = Family::<Labels, Gauge>::default();
        registry.register("queue_notifications", "Notifications by state", depth.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let waiting = gauge("callers_waiting", "Callers that wait for an outcome");
        let reloaded_at =
            gauge("reload_last_success_timestamp_seconds", "When a generation was last published");
        let generation = gauge("generation", "Number of the generation in force");
        let config_problems =
            gauge("config_problems", "What the generation in force leaves out, being wrong");
        let lanes = gauge("lanes", "Channels with work in the queue");
        let tasks = gauge("tasks", "Background tasks and connections that are running");
        let guest_memory = gauge("guest_memory_bytes", "Memory that all guests have");
        let guest_memory_max = gauge("guest_memory_max_bytes", "Memory that all guests may have");
        let guest_instances_max = gauge("instances_max", "Instances that may live");
        let families = PluginFamilies::register(&mut registry);
        let others = Arc::new(families.of(&Arc::from("other")));
        Self {
            registry,
            routes,
            accepted,
            refused,
            waiting,
            reloads,
            reloaded_at,
            generation,
            config_problems,
            lanes,
            tasks,
            guest_memory,
            guest_memory_max,
            guest_instances_max,
            depth,
            families,
            plugins: ArcSwap::default(),
            others,
        }
    }

    /// A request was answered.
    pub fn http(&self, route: Route, status: u16, took: Duration) {
        let Some(metrics) = self.routes.get(route as usize) else { return };
        if let Some(counter) = metrics.by_class.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
        metrics.seconds.observe(took.as_secs_f64());
    }

    /// Notifications were accepted.
    pub fn accepted(&self, count: u64) {
        self.accepted.inc_by(count);
    }

    /// A request was refused before it was looked at.
    pub fn refused(&self, why: RefusedWord) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.inc();
        }
    }

    /// A caller waits for an outcome, until this is dropped.
    #[must_use]
    pub fn waiting(&self) -> impl Drop + use<> {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// A reload ended.
    pub fn reload(&self, outcome: ReloadOutcome) {
        if let Some(counter) = self.reloads.get(outcome as usize) {
            counter.inc();
        }
    }

    /// A generation was published.
    pub fn published(&self, number: u64, at: UnixMs, problems: usize) {
        self.generation.set(i64::try_from(number).unwrap_or(i64::MAX));
        self.reloaded_at.set(at.0 / 1_000);
        self.config_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }

    /// How many lanes have work.
    pub fn lanes(&self, count: usize) {
        self.lanes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many tasks are running.
    pub fn tasks(&self, count: usize) {
        self.tasks.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What all guests have.
    pub fn guests(&self, guests: &GuestsReport) {
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.guest_memory, guests.memory_bytes);
        set(&self.guest_memory_max, guests.memory_bytes_max);
        set(&self.guest_instances_max, guests.instances_max);
    }

    /// One plugin's numbers. Keep them where the plugin is used often.
    #[must_use]
    pub fn plugin(&self, name: &PluginName) -> Arc<PluginMetrics> {
        if let Some(found) = self.plugins.load().get(name) {
            return Arc::clone(found);
        }
        self.plugins.rcu(|plugins| {
            let mut plugins = HashMap::clone(plugins);
            if plugins.len() < METRIC_PLUGINS_MAX {
                let new = || Arc::new(self.families.of(&Arc::from(name.as_str())));
                plugins.entry(name.clone()).or_insert_with(new);
            }
            plugins
        });
        let plugins = self.plugins.load();
        Arc::clone(plugins.get(name).unwrap_or(&self.others))
    }

    /// An attempt ended; see [`PluginMetrics::delivery`].
    pub fn delivery(&self, plugin: &PluginName, outcome: &str, took: Option<Duration>) {
        self.plugin(plugin).delivery(outcome, took);
    }

    /// An attempt begins; see [`PluginMetrics::attempt`].
    #[must_use]
    pub fn attempt(&self, plugin: &PluginName) -> AttemptGuard {
        self.plugin(plugin).attempt()
    }

    /// An instance was created.
    pub fn instance_created(&self, plugin: &PluginName) {
        self.plugin(plugin).instance_created();
    }

    /// An instance is gone.
    pub fn instance_closed(&self, plugin: &PluginName) {
        self.plugin(plugin).instance_closed();
    }

    /// A guest did something wrong.
    pub fn fault(&self, plugin: &PluginName, fault: Fault) {
        self.plugin(plugin).fault(fault);
    }

    /// An outbound request ended.
    pub fn egress(&self, plugin: &PluginName, outcome: EgressOutcome) {
        self.plugin(plugin).egress(outcome);
    }

    /// The text of a scrape, in the OpenMetrics format. `totals`: none when the store did not say.
    #[must_use]
    pub fn encode(&self, totals: Option<Counters>) -> String {
        if let Some(totals) = totals {
            let states = [
                ("queued", totals.queued),
                ("sending", totals.sending),
                ("retrying", totals.retrying),
                ("delivered", totals.delivered),
                ("dead", totals.dead),
                ("cancelled", totals.cancelled),
            ];
            for (state, count) in states {
                let gauge = self.depth.get_or_create_owned(&[("state", state)]);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        let mut scrape = String::new();
        // Writing to a string cannot fail.
        if text::encode(&mut scrape, &self.registry).is_err() {
            scrape.clear();
        }
        scrape
    }
}

struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn register_routes(registry: &mut Registry) -> Vec<RouteMetrics> {
    let requests = Family::<Labels2, Counter>::default();
    let seconds: Family<Labels, Histogram, fn() -> Histogram> =
        Family::new_with_constructor(|| Histogram::new(HTTP_SECONDS));
    registry.register("http_requests", "Requests by route and status class", requests.clone());
    registry.register(
        "http_request_duration_seconds",
        "Time from a request's head to its answer's, waits for outcomes included",
        seconds.clone(),
    );
    let of = |route: &Route| RouteMetrics {
        by_class: CLASSES.map(|class| {
            requests.get_or_create_owned(&[("route", route.word()), ("status", class)])
        }),
        seconds: seconds.get_or_create_owned(&[("route", route.word())]),
    };
    Route::ALL.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Used;

    fn plugin(name: &str) -> PluginName {
        name.parse().unwrap()
    }

    #[test]
    fn what_was_counted_is_in_the_scrape() {
        let metrics = Metrics::new();
        let (log, took) = (plugin("log"), Duration::from_millis(3));
        metrics.http(Route::Notify, 202, took);
        metrics.http(Route::Read, 99, took);
        metrics.accepted(2);
        metrics.delivery(&log, "delivered", Some(took));
        metrics.delivery(&log, "no such word", Some(took));
        metrics.instance_created(&log);
        metrics.fault(&log, Fault::Trap);
        metrics.egress(&log, EgressOutcome::Denied);
        let cpu = Duration::from_millis(250);
        let used = Used { cpu, memory_bytes_peak: 9, log_lines_dropped: 7, ..Used::default() };
        metrics.plugin(&log).used(&used);
        metrics.plugin(&log).used(&Used { memory_bytes_peak: 8, bytes_out: 3, ..Used::default() });
        metrics.guests(&GuestsReport { memory_bytes: 12, ..GuestsReport::default() });
        metrics.reload(ReloadOutcome::Applied);
        metrics.published(4, UnixMs(1_763_746_800_123), 1);
        metrics.lanes(3);
        let attempt = metrics.attempt(&log);
        let waiting = metrics.waiting();
        let text = metrics.encode(Some(Counters { queued: 5, ..Counters::default() }));
        for line in [
            "conductor_build_info{version=\"0.1.0\"} 1",
            "conductor_http_requests_total{route=\"POST /notifications\",status=\"2xx\"} 1",
            "conductor_http_request_duration_seconds_count{route=\"POST /notifications\"} 1",
            "conductor_accepted_total 2",
            "conductor_deliveries_total{plugin=\"log\",outcome=\"delivered\"} 1",
            "conductor_deliveries_total{plugin=\"log\",outcome=\"other\"} 1",
            "conductor_delivery_duration_seconds_count{plugin=\"log\"} 2",
            "conductor_instances_live{plugin=\"log\"} 1",
            "conductor_instances_created_total{plugin=\"log\"} 1",
            "conductor_guest_faults_total{plugin=\"log\",kind=\"trap\"} 1",
            "conductor_egress_requests_total{plugin=\"log\",outcome=\"denied\"} 1",
            "conductor_log_lines_dropped_total{plugin=\"log\"} 7",
            "conductor_guest_cpu_seconds_total{plugin=\"log\"} 0.25",
            "conductor_guest_memory_peak_bytes{plugin=\"log\"} 9",
            "conductor_guest_sent_bytes_total{plugin=\"log\"} 3",
            "conductor_guest_memory_bytes 12",
            "conductor_reloads_total{outcome=\"applied\"} 1",
            "conductor_reloads_total{outcome=\"rejected\"} 0",
            "conductor_generation 4",
            "conductor_reload_last_success_timestamp_seconds 1763746800",
            "conductor_config_problems 1",
            "conductor_lanes 3",
            "conductor_attempts_in_flight{plugin=\"log\"} 1",
            "conductor_callers_waiting 1",
            "conductor_queue_notifications{state=\"queued\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop((attempt, waiting));
        let text = metrics.encode(None);
        assert!(text.contains("conductor_attempts_in_flight{plugin=\"log\"} 0\n"), "{text}");
        assert!(text.contains("conductor_callers_waiting 0\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn plugins_beyond_the_bound_share_one_set_of_numbers() {
        let metrics = Metrics::new();
        for number in 0..METRIC_PLUGINS_MAX + 10 {
            metrics.instance_created(&plugin(&format!("p{number}")));
        }
        assert!(metrics.encode(None).contains("conductor_instances_live{plugin=\"other\"} 10\n"));
    }
}
