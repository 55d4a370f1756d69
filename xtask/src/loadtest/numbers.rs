//! Figures as people read them: grouped by thousands, and no more digits than mean something.

/// `1234567.8` as `1,234,568`; below 100 with one digit after the point.
pub(super) fn figure(value: f64) -> String {
    if value.abs() < 99.95 {
        let text = format!("{value:.1}");
        return text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    }
    grouped(&format!("{value:.0}"))
}

/// A whole number, grouped.
pub(super) fn whole(value: impl Into<i128>) -> String {
    grouped(&value.into().to_string())
}

/// A figure that may not have been measured.
pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".into(), figure)
}

/// For axes: `10,000`, `3 million`.
pub(super) fn short(value: f64) -> String {
    if value >= 1e6 {
        format!("{} million", figure(value / 1e6))
    } else {
        figure(value)
    }
}

/// A count for arithmetic of rates and places.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure is shown with a few digits"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_rounded() {
        let cases = [
            (0.0, "0"),
            (6.66, "6.7"),
            (20.0, "20"),
            (99.97, "100"),
            (1234.4, "1,234"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
        assert_eq!(whole(-1_234_567), "-1,234,567");
        assert_eq!(short(3_260_000.0), "3.3 million");
        assert_eq!(optional(None), "not measured");
    }
}
