//! What was measured, beside what it may be.

use std::fmt;

use crate::case::Case;
use crate::limits::{Price, price_of};
use crate::measure::Measure;
use crate::part::Role;

/// What one unit of a case's work cost one part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding {
    /// The case.
    pub(crate) case: &'static Case,
    /// The part.
    pub(crate) part: Role,
    /// What was counted.
    pub(crate) measure: Measure,
    /// How much of it a unit.
    pub(crate) each: f64,
}

impl Finding {
    /// Whether it is above its limit.
    pub(crate) fn is_dearer(&self) -> bool {
        self.price().is_some_and(|price| self.each > price.limit())
    }

    /// Whether it is far below.
    pub(crate) fn is_cheaper(&self) -> bool {
        self.price()
            .is_some_and(|price| price.is_outdated_by(self.each))
    }

    /// As a row of the table.
    pub(crate) fn row(&self) -> String {
        let limit = self.price().map_or(String::new(), |price| {
            format!("at most {:.1}", price.limit())
        });
        format!(
            "{:<10} {:<5} {:>12.2} {:<10} {:<12} {limit}",
            self.case.name,
            self.part.name(),
            self.each,
            self.measure.name(),
            self.case.work.unit(),
        )
    }

    fn price(&self) -> Option<&'static Price> {
        price_of(self.case.name, self.part, self.measure)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.price().map_or(f64::INFINITY, Price::limit);
        write!(
            f,
            "{}: {:.2} {} {} at the {}, at most {limit:.1}",
            self.case.name,
            self.each,
            self.measure.name(),
            self.case.work.unit(),
            self.part.name(),
        )
    }
}
