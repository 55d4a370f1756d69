//! Charts as inline SVG. Colours come from classes of the page's style sheet, so that they follow
//! light and dark; no meaning rests on colour alone.

use std::fmt::Write;

use crate::loadtest::numbers::{float, short};

/// Units of the view box; the page scales it to the width that there is.
const WIDTH: f64 = 860.0;
/// Room for the names of bars, and for the figures behind them.
const BAR_LEFT: f64 = 210.0;
const BAR_RIGHT: f64 = 330.0;
const BAR_HEIGHT: f64 = 22.0;
const BAR_PITCH: f64 = 36.0;
/// The plot of a line chart.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 190.0;
/// Keeps the figures of the first and last points clear of the axis.
const INSET: f64 = 34.0;
const TOP: f64 = 40.0;
const PLOT_HEIGHT: f64 = 240.0;
const LINE_HEIGHT_TOTAL: f64 = TOP + PLOT_HEIGHT + 50.0;

/// A bar of a bar chart.
pub(super) struct Bar {
    /// Its name.
    pub(super) label: String,
    /// Its length, above 0 to be drawn.
    pub(super) value: f64,
    /// Text behind the figure.
    pub(super) note: String,
    /// Its colour.
    pub(super) class: &'static str,
}

/// How values become heights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    /// In powers of ten.
    Logarithmic,
}

/// A line of a line chart.
pub(super) struct Series {
    /// Written at its end.
    pub(super) label: String,
    /// Its colour.
    pub(super) class: &'static str,
    /// In order of x.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether each point is a measurement to be shown with its figure.
    pub(super) dots: bool,
}

/// A moment.
pub(super) struct Mark {
    /// Where.
    pub(super) x: f64,
    /// What happened.
    pub(super) label: String,
}

/// Lines over a common x axis that starts at the first tick.
pub(super) struct LineChart<'a> {
    /// What x is.
    pub(super) x_label: &'a str,
    /// What y is.
    pub(super) y_label: &'a str,
    /// Where x is labelled, and how.
    pub(super) x_ticks: &'a [(f64, String)],
    /// For y.
    pub(super) scale: Scale,
    /// The lines.
    pub(super) series: &'a [Series],
    /// The moments.
    pub(super) marks: &'a [Mark],
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Horizontal bars on a logarithmic scale that begins at 1.
pub(super) fn bar_chart(bars: &[Bar], x_label: &str) -> String {
    let plot = WIDTH - BAR_LEFT - BAR_RIGHT;
    let largest = bars.iter().map(|bar| bar.value).fold(10.0, f64::max);
    let decades = largest.log10().ceil();
    let length = |value: f64| plot * (value.max(1.0).log10() / decades).clamp(0.0, 1.0);
    let bottom = BAR_PITCH * float(bars.len().max(1) as u64) + 8.0;
    let mut svg = open(bottom + 46.0, x_label);
    for decade in powers_of_ten(decades) {
        let x = BAR_LEFT + length(decade);
        line(&mut svg, "grid", [x, 4.0, x, bottom]);
        // Long numbers would touch each other; every second decade is enough to read the scale.
        if decade.log10().rem_euclid(2.0) < 0.5 {
            text(
                &mut svg,
                "tick",
                "middle",
                [x, bottom + 18.0],
                &short(decade),
            );
        }
    }
    text(
        &mut svg,
        "axis",
        "start",
        [BAR_LEFT, bottom + 38.0],
        x_label,
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = BAR_PITCH * float(index as u64) + 10.0;
        let (width, middle) = (length(bar.value), y + BAR_HEIGHT / 2.0 + 5.0);
        text(
            &mut svg,
            "label",
            "end",
            [BAR_LEFT - 10.0, middle],
            &bar.label,
        );
        let _infallible = writeln!(
            svg,
            "<rect class=\"fill {}\" x=\"{BAR_LEFT}\" y=\"{y}\" width=\"{width:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
            bar.class
        );
        let shown = format!("{} · {}", short(bar.value), bar.note);
        let class = format!("value {}", bar.class);
        text(
            &mut svg,
            &class,
            "start",
            [BAR_LEFT + width + 8.0, middle],
            &shown,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Lines with their names at their ends.
pub(super) fn line_chart(chart: &LineChart<'_>) -> String {
    let plane = Plane::of(chart);
    let mut svg = open(
        LINE_HEIGHT_TOTAL,
        &format!("{} by {}", chart.y_label, chart.x_label),
    );
    for value in &plane.y_ticks {
        let y = plane.y(*value);
        line(&mut svg, "grid", [LEFT, y, WIDTH - RIGHT, y]);
        text(
            &mut svg,
            "tick",
            "end",
            [LEFT - 8.0, y + 4.0],
            &short(*value),
        );
    }
    for (value, label) in chart.x_ticks {
        let x = plane.x(*value);
        text(
            &mut svg,
            "tick",
            "middle",
            [x, TOP + PLOT_HEIGHT + 20.0],
            label,
        );
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    text(
        &mut svg,
        "axis",
        "middle",
        [middle, LINE_HEIGHT_TOTAL - 8.0],
        chart.x_label,
    );
    text(&mut svg, "axis", "start", [8.0, 14.0], chart.y_label);
    for mark in chart.marks {
        let x = plane.x(mark.x);
        line(&mut svg, "mark", [x, TOP - 8.0, x, TOP + PLOT_HEIGHT]);
        text(&mut svg, "marked", "middle", [x, TOP - 12.0], &mark.label);
    }
    for series in chart.series {
        draw(&mut svg, &plane, series);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, plane: &Plane, series: &Series) {
    let points: Vec<(f64, f64)> = series
        .points
        .iter()
        .map(|&(x, y)| (plane.x(x), plane.y(y)))
        .collect();
    let path: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let class = series.class;
    let _infallible = writeln!(
        svg,
        "<polyline class=\"line {class}\" points=\"{}\"/>",
        path.join(" ")
    );
    if series.dots {
        for (&(x, y), &(_, value)) in points.iter().zip(&series.points) {
            let _infallible = writeln!(
                svg,
                "<circle class=\"fill {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
            );
            text(
                svg,
                &format!("value {class}"),
                "middle",
                [x, y - 10.0],
                &short(value),
            );
        }
    }
    if let Some(&(x, y)) = points.last() {
        text(
            svg,
            &format!("value {class}"),
            "start",
            [x + 12.0, y + 16.0],
            &series.label,
        );
    }
}

/// Where values are on the page.
struct Plane {
    x_min: f64,
    x_max: f64,
    y_max: f64,
    y_ticks: Vec<f64>,
    scale: Scale,
}

impl Plane {
    fn of(chart: &LineChart<'_>) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let xs = || {
            chart
                .x_ticks
                .iter()
                .map(|tick| tick.0)
                .chain(points().map(|point| point.0))
        };
        let largest = points().map(|point| point.1).fold(1.0, f64::max);
        let y_ticks = match chart.scale {
            Scale::Linear => linear_ticks(largest),
            Scale::Logarithmic => powers_of_ten(largest.log10().ceil().max(1.0)),
        };
        Self {
            x_min: xs().fold(0.0, f64::min),
            x_max: xs().fold(1.0, f64::max),
            y_max: y_ticks.last().copied().unwrap_or(1.0),
            y_ticks,
            scale: chart.scale,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let span = (self.x_max - self.x_min).max(f64::MIN_POSITIVE);
        LEFT + INSET + (WIDTH - LEFT - RIGHT - 2.0 * INSET) * (value - self.x_min) / span
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.y_max,
            Scale::Logarithmic => value.max(1.0).log10() / self.y_max.log10(),
        };
        TOP + PLOT_HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

fn powers_of_ten(decades: f64) -> Vec<f64> {
    (0..=12)
        .map(|power| 10f64.powi(power))
        .filter(|value| value.log10() <= decades + 0.1)
        .collect()
}

/// Four to eight round steps from 0 to at least `largest`.
fn linear_ticks(largest: f64) -> Vec<f64> {
    let decade = 10f64.powf((largest / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * decade)
        .into_iter()
        .find(|step| largest / step <= 5.0)
        .unwrap_or(10.0 * decade);
    let count = (largest / step).ceil();
    (0..=10)
        .map(|tick| f64::from(tick) * step)
        .filter(|tick| *tick <= count * step * 1.001)
        .collect()
}

fn open(height: f64, description: &str) -> String {
    let description = escape(description);
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{description}\">\n")
}

fn line(svg: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let _infallible = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(svg: &mut String, class: &str, anchor: &str, [x, y]: [f64; 2], content: &str) {
    let content = escape(content);
    let _infallible = writeln!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_start_at_0_and_cover_the_largest_value() {
        for largest in [1.0, 19.4, 20.0, 99.0, 3_250_000.0] {
            let ticks = linear_ticks(largest);
            assert!(ticks[0].abs() < f64::EPSILON);
            assert!(
                *ticks.last().expect("ticks") >= largest * 0.999,
                "{largest}: {ticks:?}"
            );
            assert!((3..=9).contains(&ticks.len()), "{largest}: {ticks:?}");
        }
    }

    #[test]
    fn a_bar_grows_by_the_same_length_with_each_power_of_ten() {
        let bars = [10.0, 100.0, 1_000.0].map(|value| Bar {
            label: "bar".into(),
            value,
            note: String::new(),
            class: "ours",
        });
        let svg = bar_chart(&bars, "x");
        let widths: Vec<f64> = svg
            .split("width=\"")
            .skip(1)
            .map(|rest| {
                rest.split('"')
                    .next()
                    .expect("closed")
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert!((widths[1] - 2.0 * widths[0]).abs() < 0.2, "{widths:?}");
        assert!((widths[2] - 3.0 * widths[0]).abs() < 0.2, "{widths:?}");
    }

    #[test]
    fn a_chart_without_points_is_still_well_formed() {
        let chart = LineChart {
            x_label: "x",
            y_label: "y",
            x_ticks: &[],
            scale: Scale::Logarithmic,
            series: &[],
            marks: &[],
        };
        let svg = line_chart(&chart) + &bar_chart(&[], "x");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
