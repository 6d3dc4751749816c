//! What several rounds come to.

/// The middle of the values; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// How far the values lie apart, as a part of their median.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values).filter(|middle| *middle > 0.0)?;
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        least = least.min(*value);
        most = most.max(*value);
    }
    Some((most - least) / middle)
}

/// The value below which `part` of the sorted values lie.
pub(crate) fn quantile(sorted: &[u32], part: f64) -> Option<u32> {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rank among some millions of values"
    )]
    let rank = ((sorted.len() as f64) * part) as usize;
    sorted.get(rank.min(sorted.len().checked_sub(1)?)).copied()
}
