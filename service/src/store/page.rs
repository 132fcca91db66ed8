//! Pages of long lists, the same request for both stores.
//!
//! A position says where a page begins in both ways at once: by the last row before it, and by how many rows that
//! makes. The tuned store goes by the row (keyset: an index leads to it, and rows that come or go do not move the
//! page); phase1 goes by the count (OFFSET), as the system did. How a position is written for a client is not the
//! store's business.

use chrono::{DateTime, Utc};

use crate::domain::ids::{DriverId, TripId};

/// Most rows of a page: at some 200 bytes a row, 40 KB of JSON.
pub const LIMIT_MAX: u16 = 200;
/// Rows of a page when none are asked for: a screenful.
pub const LIMIT_DEFAULT: u16 = 50;

/// Most details that the rows of a page show together, such as the events of trips: at some 100 bytes each, 200 KB of
/// JSON. A page that would show more ends early.
pub const DETAILS_MAX: usize = 2_000;

/// Rows of one page, 1 to [`LIMIT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageLimit(u16);

impl PageLimit {
    /// When none is asked for.
    pub const DEFAULT: Self = Self(LIMIT_DEFAULT);

    /// The limit, if it is one.
    pub fn new(rows: u16) -> Option<Self> {
        (1..=LIMIT_MAX).contains(&rows).then_some(Self(rows))
    }

    /// As a number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// One row more than the page has: it tells whether there is another page.
    pub(super) fn with_one_more(self) -> i64 {
        i64::from(self.0) + 1
    }
}

/// Beginning of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position<K> {
    /// The last row before the page.
    pub after: K,
    /// Rows before the page, when this position was made.
    pub rows_before: i64,
}

/// Request for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRequest<K> {
    /// Rows at most.
    pub limit: PageLimit,
    /// Where it begins; `None` is the beginning of the list.
    pub from: Option<Position<K>>,
}

impl<K: Copy> PageRequest<K> {
    /// The first page.
    pub const fn first(limit: PageLimit) -> Self {
        Self { limit, from: None }
    }

    /// The key after which the page begins.
    pub(super) fn after(&self) -> Option<K> {
        self.from.map(|from| from.after)
    }

    /// Rows before the page.
    pub(super) fn offset(&self) -> i64 {
        self.from.map_or(0, |from| from.rows_before)
    }
}

/// A page's rows and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Position<K>>,
}

impl<T, K: Copy> Page<T, K> {
    /// The page out of its rows and, if there is one, the row after it.
    pub(super) fn cut(request: &PageRequest<K>, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::from(request.limit.get());
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| Position {
            after: key(last),
            rows_before: request.offset() + i64::from(request.limit.get()),
        });
        Self { items: rows, next }
    }

    /// This page, ended early where its rows would show more than [`DETAILS_MAX`] details; each row tells its own by
    /// `details`. The first row is always on it, so that every page leads on.
    pub(super) fn within_details(
        mut self,
        request: &PageRequest<K>,
        key: impl Fn(&T) -> K,
        details: impl Fn(&T) -> usize,
    ) -> Self {
        let mut shown = 0;
        let fits = |row: &&T| {
            shown += details(row);
            shown <= DETAILS_MAX
        };
        let rows = self.items.iter().take_while(fits).count().max(1);
        let Some(last) = self.items.get(rows - 1).filter(|_| rows < self.items.len()) else {
            return self;
        };
        self.next = Some(Position {
            after: key(last),
            rows_before: request.offset() + i64::try_from(rows).unwrap_or(i64::MAX),
        });
        self.items.truncate(rows);
        self
    }
}

/// A place in the list of drivers, which is in order of their numbers.
pub type DriverKey = DriverId;

/// A place in a driver's trips, which are newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TripKey {
    /// When the trip began.
    pub started_at: DateTime<Utc>,
    /// Its name, for trips that began in the same microsecond.
    pub id: TripId,
}

impl TripKey {
    /// Before every trip that there can be: the moment of 9999-12-31T23:59:59Z, which Postgres holds too.
    pub(super) const BEFORE_ALL: Self = Self {
        started_at: match DateTime::from_timestamp(253_402_300_799, 0) {
            Some(moment) => moment,
            None => DateTime::<Utc>::MAX_UTC,
        },
        id: TripId(uuid::Uuid::max()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: u16, from: Option<i64>) -> PageRequest<i64> {
        PageRequest {
            limit: PageLimit::new(limit).unwrap(),
            from: from.map(|rows_before| Position { after: 0, rows_before }),
        }
    }

    #[test]
    fn limits_outside_the_range_are_none() {
        assert!(PageLimit::new(0).is_none() && PageLimit::new(LIMIT_MAX + 1).is_none());
        assert_eq!(PageLimit::new(LIMIT_MAX).map(PageLimit::get), Some(LIMIT_MAX));
    }

    #[test]
    fn the_row_beyond_the_page_tells_that_there_is_another() {
        let page = Page::cut(&request(2, Some(10)), vec![5, 6, 7], |row| *row);
        assert_eq!(page.items, [5, 6]);
        assert_eq!(
            page.next,
            Some(Position {
                after: 6,
                rows_before: 12
            })
        );
        assert_eq!(Page::cut(&request(2, None), vec![5, 6], |row| *row).next, None);
        assert_eq!(Page::cut(&request(2, None), Vec::new(), |row: &i64| *row).next, None);
    }

    #[test]
    fn a_page_ends_before_it_shows_too_many_details_and_has_a_row_all_the_same() {
        let page_of = |details: [usize; 3]| {
            let request = request(3, Some(10));
            let cut = Page::cut(&request, vec![0, 1, 2], |row| *row);
            let page = cut.within_details(&request, |row| *row, |row| details[usize::try_from(*row).unwrap()]);
            (page.items.len(), page.next.map(|next| (next.after, next.rows_before)))
        };
        assert_eq!(page_of([1, 1, 1]), (3, None));
        assert_eq!(page_of([DETAILS_MAX, 0, 1]), (2, Some((1, 12))));
        assert_eq!(page_of([DETAILS_MAX + 1, 0, 0]), (1, Some((0, 11))));
        assert_eq!(page_of([0, 0, DETAILS_MAX]), (3, None));
    }
}
