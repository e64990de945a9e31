//! Which of a lane's due jobs goes next: the most urgent, and now and then the one that has been due
//! longest. So a lane that never gets to the end of its urgent jobs gets to the others too.

use super::Priority;
use crate::{clock::UnixMs, limits};

/// Since when a job is due, and its number.
pub(super) type Head = (UnixMs, i64);

/// How many of a lane's jobs in a row went ahead of one that had been due longer. Only what is due
/// side by side with something more urgent ever counts: the first urgent job goes first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Turns {
    ahead: usize,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    /// The priority of which the first due job goes.
    pub(super) takes: Priority,
    /// The most urgent priority of which a job is due: the same, unless it goes by age.
    pub(super) most_urgent: Priority,
}

impl Turns {
    /// The next turn, if anything is due. `heads`: the first due job of each priority.
    pub(super) fn next(&mut self, heads: [Option<Head>; 4]) -> Option<Turn> {
        let due =
            || Priority::ALL.into_iter().zip(heads).filter_map(|(of, head)| Some((of, head?)));
        let (most_urgent, _) = due().next()?;
        let (oldest, _) = due().min_by_key(|(_, head)| *head)?;
        let by_age = self.ahead.saturating_add(1) >= limits::LANE_TURNS;
        let takes = if by_age { oldest } else { most_urgent };
        self.ahead = if takes == oldest { 0 } else { self.ahead.saturating_add(1) };
        Some(Turn { takes, most_urgent })
    }

    /// How many due jobs of a priority have to be known to give `turns` turns: what is left to them by
    /// `more_urgent` others, what may go by age, and one to see that it is there.
    pub(super) const fn needs(turns: usize, more_urgent: usize) -> usize {
        let by_age = turns / limits::LANE_TURNS + 2;
        let all = turns.saturating_sub(more_urgent).saturating_add(by_age);
        if all < turns { all } else { turns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn head(due: i64) -> Option<Head> {
        Some((UnixMs(due), due))
    }

    /// So many turns with these due, each of them for ever.
    fn order(turns: &mut Turns, heads: [Option<Head>; 4], count: usize) -> String {
        let letter = |turn: Turn| match turn.takes {
            Priority::Urgent => 'u',
            Priority::High => 'h',
            Priority::Normal => 'n',
            Priority::Low => 'l',
        };
        (0..count).map(|_| letter(turns.next(heads).unwrap())).collect()
    }

    #[test]
    fn of_eight_jobs_one_is_the_one_that_was_due_first() {
        let mut turns = Turns::default();
        let heads = [head(9), None, head(5), head(7)];
        assert_eq!(order(&mut turns, heads, 17), "uuuuuuunuuuuuuunu");
        assert_eq!(limits::LANE_TURNS, 8);
    }

    #[test]
    fn what_goes_by_age_says_what_it_went_ahead_of() {
        let mut turns = Turns { ahead: 7 };
        let turn = turns.next([None, head(9), None, head(7)]);
        assert_eq!(turn, Some(Turn { takes: Priority::Low, most_urgent: Priority::High }));
        let turn = turns.next([None, head(9), None, head(8)]);
        assert_eq!(turn, Some(Turn { takes: Priority::High, most_urgent: Priority::High }));
    }

    #[test]
    fn who_goes_ahead_of_nobody_uses_up_no_turn() {
        let mut turns = Turns::default();
        assert_eq!(order(&mut turns, [None, None, None, head(1)], 30), "l".repeat(30));
        assert_eq!(order(&mut turns, [head(2), None, None, head(3)], 30), "u".repeat(30));
        assert_eq!(order(&mut turns, [head(4), None, None, head(3)], 8), "uuuuuuul");
        assert_eq!(turns.next([None; 4]), None);
    }
}
