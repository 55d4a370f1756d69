//! Charts as inline SVG, drawn by plotters.
//!
//! A chart is drawn four times as large as it is shown, since plotters places by whole units. The
//! page's style sheet finds what to recolour in the dark by the colours that stand here; no meaning
//! rests on colour alone.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::loadtest::numbers::short;

/// Units of a pixel.
const UNIT: u32 = 4;
const WIDTH: u32 = 860;

const INK: RGBColor = RGBColor(0x1c, 0x27, 0x33);
const MUTED: RGBColor = RGBColor(0x5c, 0x6b, 0x7a);
const RULE: RGBColor = RGBColor(0xd9, 0xe0, 0xe6);
const OURS: RGBColor = RGBColor(0x0a, 0x7d, 0x6c);
const OTHER: RGBColor = RGBColor(0x3f, 0x6f, 0xb5);
const WRONG: RGBColor = RGBColor(0xc0, 0x39, 0x2b);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

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

impl Scale {
    /// How far from the axis's begin a value stands.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(1.0).log10(),
        }
    }

    /// The figure at a place.
    fn figure(self, place: f64) -> String {
        match self {
            Self::Linear => short(place),
            Self::Logarithmic => short(10f64.powf(place)),
        }
    }

    /// Where an axis for these values ends: not at the largest, which then has room for its figure.
    fn end(self, values: impl Iterator<Item = f64>) -> f64 {
        let largest = self.place(values.fold(1.0, f64::max));
        match self {
            Self::Linear => largest * 1.08,
            Self::Logarithmic => largest.ceil().max(1.0),
        }
    }
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
    let rows = u32::try_from(bars.len().max(1)).expect("a few bars");
    let scale = Scale::Logarithmic;
    let end = scale.end(bars.iter().map(|bar| bar.value));
    svg(36 * rows + 54, x_label, |area| {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, 210 * UNIT)
            .set_label_area_size(LabelAreaPosition::Bottom, 46 * UNIT)
            .margin_right(330 * UNIT)
            .build_cartesian_2d(0.0..end, f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .axis_style(TRANSPARENT)
            .bold_line_style(RULE.stroke_width(4))
            .light_line_style(TRANSPARENT)
            .x_labels(8)
            // Long numbers would touch each other; every second power is enough to read the scale.
            .x_label_formatter(&|place| {
                if place.rem_euclid(2.0) < 0.5 {
                    scale.figure(*place)
                } else {
                    String::new()
                }
            })
            .x_label_style(style(MUTED, HPos::Center))
            .axis_desc_style(style(MUTED, HPos::Center))
            .x_desc(x_label)
            .draw()?;
        for (row, bar) in (0..rows).map(f64::from).zip(bars) {
            let (colour, length) = (colour(bar.class), scale.place(bar.value));
            let corners = [(0.0, row + 0.2), (length, row + 0.8)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            let shown = format!("{} · {}", short(bar.value), bar.note);
            let place = |length| chart.backend_coord(&(length, row + 0.5));
            text(
                area,
                place(0.0),
                (-10, 0),
                &bar.label,
                style(INK, HPos::Right),
            )?;
            text(
                area,
                place(length),
                (8, 0),
                &shown,
                style(colour, HPos::Left),
            )?;
        }
        Ok(())
    })
}

/// Lines with their names at their ends.
pub(super) fn line_chart(lines: &LineChart<'_>) -> String {
    let description = format!("{} by {}", lines.y_label, lines.x_label);
    let scale = lines.scale;
    let points = || lines.series.iter().flat_map(|series| &series.points);
    let ticks = lines.x_ticks.iter().map(|tick| tick.0);
    let x_end = ticks
        .chain(points().map(|point| point.0))
        .fold(1.0, f64::max);
    let y_end = scale.end(points().map(|point| point.1));
    svg(330, &description, |area| {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, 90 * UNIT)
            .margin_bottom(50 * UNIT)
            .margin_top(40 * UNIT)
            .margin_right(190 * UNIT)
            // The figures of the first and last points stay clear of the axis.
            .build_cartesian_2d(-0.08 * x_end..1.08 * x_end, 0.0..y_end)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .axis_style(TRANSPARENT)
            .bold_line_style(RULE.stroke_width(4))
            .light_line_style(TRANSPARENT)
            .y_labels(8)
            .y_label_formatter(&|place| scale.figure(*place))
            .y_label_style(style(MUTED, HPos::Right))
            .draw()?;
        for (x, label) in lines.x_ticks {
            let place = chart.backend_coord(&(*x, 0.0));
            text(area, place, (0, 16), label, style(MUTED, HPos::Center))?;
        }
        for mark in lines.marks {
            let ends = [(mark.x, 0.0), (mark.x, y_end)];
            chart.draw_series(DashedLineSeries::new(ends, 16, 16, WRONG.stroke_width(4)))?;
            let place = chart.backend_coord(&ends[1]);
            text(
                area,
                place,
                (0, -10),
                &mark.label,
                style(WRONG, HPos::Center),
            )?;
        }
        for series in lines.series {
            draw_series(area, &mut chart, scale, series)?;
        }
        text(
            area,
            (0, 0),
            (8, 12),
            lines.y_label,
            style(MUTED, HPos::Left),
        )?;
        text(
            area,
            (0, 0),
            (380, 316),
            lines.x_label,
            style(MUTED, HPos::Center),
        )
    })
}

/// A line, its figures where they are to be shown, and its name.
fn draw_series(area: &Area<'_>, chart: &mut Chart<'_>, scale: Scale, series: &Series) -> Drawn {
    let colour = colour(series.class);
    let place = |&(x, y): &(f64, f64)| (x, scale.place(y));
    let line = series.points.iter().map(place);
    chart.draw_series(LineSeries::new(line, colour.stroke_width(10)))?;
    for point in series.points.iter().filter(|_| series.dots) {
        let place = chart.backend_coord(&place(point));
        area.draw(&Circle::new(place, 4 * UNIT, colour.filled()))?;
        text(
            area,
            place,
            (0, -14),
            &short(point.1),
            style(colour, HPos::Center),
        )?;
    }
    if let Some(last) = series.points.last() {
        let place = chart.backend_coord(&place(last));
        text(
            area,
            place,
            (12, 12),
            &series.label,
            style(colour, HPos::Left),
        )?;
    }
    Ok(())
}

/// A drawing of this height in pixels, as an element of a page.
fn svg(height: u32, description: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let size = (WIDTH * UNIT, height * UNIT);
    let mut drawn = String::new();
    draw(&SVGBackend::with_string(&mut drawn, size).into_drawing_area())
        .expect("writing into memory does not fail");
    // The page has a size for it, and a description.
    let (_head, body) = drawn.split_once('>').expect("it begins with its head");
    let (width, height) = size;
    let description = escape(description);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{description}\">{body}"
    )
}

/// Text so many pixels to the right of a place and below.
fn text(
    area: &Area<'_>,
    (x, y): (i32, i32),
    offset: (i32, i32),
    content: &str,
    style: TextStyle<'_>,
) -> Drawn {
    let (right, below) = pixels(offset);
    area.draw(&Text::new(content, (x + right, y + below), style))
}

fn pixels((x, y): (i32, i32)) -> (i32, i32) {
    (x * 4, y * 4)
}

/// Text of this colour, with its middle or its begin or end at a point.
fn style(colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle {
        font: ("inherit", 16 * UNIT).into_font(),
        color: colour.to_backend_color(),
        pos: Pos::new(at, VPos::Center),
    }
}

fn colour(class: &str) -> RGBColor {
    match class {
        "ours" => OURS,
        "other" => OTHER,
        _ => WRONG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_by_the_same_length_with_each_power_of_ten() {
        let bars = [10.0, 100.0, 1_000.0].map(|value| Bar {
            label: "bar".into(),
            value,
            note: String::new(),
            class: "ours",
        });
        let svg = bar_chart(&bars, "x");
        let widths: Vec<i32> = svg
            .split("<rect ")
            .filter_map(|rest| {
                rest.split(" width=\"")
                    .nth(1)?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert!((widths[1] - 2 * widths[0]).abs() <= 2, "{widths:?}");
        assert!((widths[2] - 3 * widths[0]).abs() <= 2, "{widths:?}");
    }

    #[test]
    fn a_chart_without_points_is_still_well_formed() {
        let chart = LineChart {
            x_label: "x",
            y_label: "<y>",
            x_ticks: &[],
            scale: Scale::Logarithmic,
            series: &[],
            marks: &[],
        };
        let svg = line_chart(&chart) + &bar_chart(&[], "x");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!svg.contains("<y>") && svg.contains("&lt;y&gt;"), "{svg}");
    }

    #[test]
    fn the_style_sheet_knows_every_colour() {
        let style = include_str!("style.css");
        for colour in [INK, MUTED, RULE, OURS, OTHER, WRONG] {
            let RGBColor(red, green, blue) = colour;
            assert!(style.contains(&format!("=\"#{red:02X}{green:02X}{blue:02X}\"]")));
        }
    }
}
