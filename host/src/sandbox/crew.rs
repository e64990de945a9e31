//! The pool of a binding whose plugin is of the async flavour: instances that each take many sends.
//! Like the plain pool it never queues: a job is taken by an instance with room or given back.

use std::{
    sync::{Arc, MutexGuard},
    time::Instant,
};

use tokio::sync::mpsc;

use super::{
    binding::{Binding, Job, Live, Pool, Refused},
    connection::Connection,
    crash::Gate,
    outcome::Outcome,
    usage::Usage,
    worker::Message,
    worker_async,
};

/// The instances of one binding.
#[derive(Default)]
pub(super) struct Crew {
    seats: Vec<Seat>,
    next: u64,
    pub(super) connection: Connection,
}

/// One instance, as the binding sees it.
struct Seat {
    id: u64,
    messages: mpsc::Sender<Message>,
    in_flight: usize,
    /// Since when it has nothing to do.
    idle_since: Instant,
    /// Whether it takes more.
    open: bool,
}

impl Crew {
    pub(super) fn in_flight(&self) -> usize {
        self.seats.iter().map(|seat| seat.in_flight).sum()
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle().map(|seat| seat.idle_since).min()
    }

    fn idle(&self) -> impl Iterator<Item = &Seat> {
        let kept = self.connection.is_wanted();
        self.seats.iter().filter(move |seat| !kept && seat.open && seat.in_flight == 0)
    }

    fn seat(&mut self, id: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.id == id)
    }

    /// Ends the instance that has been idle longest.
    pub(super) fn evict_one(&mut self) -> bool {
        let Some(id) = self.idle().min_by_key(|seat| seat.idle_since).map(|seat| seat.id) else {
            return false;
        };
        self.seat(id).is_some_and(Seat::stop)
    }

    /// Takes no more; all of them end when they have done what they have.
    pub(super) fn retire(&mut self) {
        for seat in &mut self.seats {
            seat.stop();
        }
        self.connection.retire();
    }
}

impl Seat {
    fn stop(&mut self) -> bool {
        self.open = false;
        // There is room for it beside every job that it may have; closed: it ends already.
        self.messages.try_send(Message::Stop).is_ok()
    }
}

/// A worker's place in its binding. Given up when it is dropped, by whatever way.
pub(super) struct Place {
    pub(super) binding: Arc<Binding>,
    id: u64,
}

impl Place {
    /// Takes a place, with `first` in its queue.
    pub(super) fn take(
        binding: &Arc<Binding>,
        pool: &mut MutexGuard<'_, Pool>,
        first: Option<Box<Job>>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (messages, queue) = mpsc::channel(binding.spec.limits.in_flight_max + 1);
        let mut in_flight = 0;
        if let Some(job) = first
            && messages.try_send(Message::Job(job)).is_ok()
        {
            in_flight = 1;
        }
        pool.crew.next += 1;
        let id = pool.crew.next;
        pool.crew.seats.push(Seat {
            id,
            messages,
            in_flight,
            idle_since: Instant::now(),
            open: true,
        });
        (Self { binding: Arc::clone(binding), id }, queue)
    }

    /// A call is over.
    pub(super) fn freed(&self) {
        let mut pool = self.binding.lock();
        if let Some(seat) = pool.crew.seat(self.id) {
            seat.in_flight = seat.in_flight.saturating_sub(1);
            if seat.in_flight == 0 {
                seat.idle_since = Instant::now();
            }
        }
    }

    /// No more calls: it will end when it has done what it has.
    pub(super) fn close(&self) {
        let mut pool = self.binding.lock();
        if let Some(seat) = pool.crew.seat(self.id) {
            seat.stop();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pool = self.binding.lock();
        pool.crew.seats.retain(|seat| seat.id != self.id);
    }
}

impl Binding {
    /// Hands a call to an instance with room, or to a new one.
    pub(super) fn hand_over_async(
        self: &Arc<Self>,
        mut job: Box<Job>,
        now: Instant,
    ) -> Result<(), (Refused, Box<Job>)> {
        let mut pool = self.lock();
        if pool.retired {
            return Err((Refused::Retired, job));
        }
        let probe = match pool.crashes.gate(now) {
            Gate::Open => false,
            Gate::Probe => true,
            Gate::Probing => return Err((Refused::Probing, job)),
            Gate::Closed(until) | Gate::Quarantined(until) => {
                return Err((Refused::Paused(until), job));
            }
        };
        job.reply.probe = probe;
        let room = self.spec.limits.in_flight_max;
        // The fullest that has room, so that the others can age and go.
        while let Some(seat) = pool
            .crew
            .seats
            .iter_mut()
            .filter(|seat| seat.open && seat.in_flight < room)
            .max_by_key(|seat| seat.in_flight)
        {
            match seat.messages.try_send(Message::Job(job)) {
                Ok(()) => {
                    seat.in_flight += 1;
                    pool.handed_over(probe);
                    return Ok(());
                }
                Err(
                    mpsc::error::TrySendError::Closed(message)
                    | mpsc::error::TrySendError::Full(message),
                ) => {
                    // Its task is gone (it panicked); take the next.
                    seat.open = false;
                    match message {
                        Message::Job(back) => job = back,
                        // It gives back what it was given, which was a job.
                        Message::Stop => return Ok(()),
                    }
                }
            }
        }
        if self.spec.plugin.is_connected() {
            if let Some(problem) = pool.crew.connection.refused() {
                drop(pool);
                job.reply.give(Outcome::Misconfigured(problem), Usage::default());
                return Ok(());
            }
            let refused = match pool.crew.connection.next_start() {
                Some(until) if until > now => Refused::Paused(until),
                _ => Refused::Saturated,
            };
            return Err((refused, job));
        }
        let room = match self.place_beside(pool.live) {
            Ok(place) => place,
            Err(refused) => return Err((refused, job)),
        };
        pool.handed_over(probe);
        pool.live += 1;
        let (place, queue) = Place::take(self, &mut pool, Some(job));
        drop(pool);
        let token = self.workers.token();
        let live = Live(Arc::clone(self));
        self.spawn("async worker", async move {
            worker_async::run(&place, queue).await;
            drop(place);
            drop(live);
            drop(room);
            drop(token);
        });
        Ok(())
    }
}
