//! Median and spread of a few runs. Not the mean: one run that met another
//! job's burst must not move the result.

/// The middle and both ends of some measurements.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of `values`, in any order. `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Spread { median, min, max })
    }

    /// The spread of `amount` over each value, such as bytes over seconds: the
    /// longest time is the lowest rate.
    pub fn per(self, amount: f64) -> Spread {
        let over = |value: f64| if value > 0.0 { amount / value } else { 0.0 };
        Spread { median: over(self.median), min: over(self.max), max: over(self.min) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let check = |values: &[f64], median, min, max| {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread, Some(Spread { median, min, max }));
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[5.0, 1.0], 3.0, 1.0, 5.0);
        check(&[9.0, 1.0, 2.0], 2.0, 1.0, 9.0);
        check(&[4.0, 1.0, 100.0, 2.0], 3.0, 1.0, 100.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_slowest_run_has_the_lowest_rate() {
        let seconds = Spread { median: 2.0, min: 1.0, max: 4.0 };
        assert_eq!(seconds.per(8.0), Spread { median: 4.0, min: 2.0, max: 8.0 });
        assert_eq!(Spread::default().per(8.0), Spread::default());
    }
}
