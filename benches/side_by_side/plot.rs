//! The pictures: bars and their spread, in colours that can be read on white and on black.

use std::path::Path;

use plotters::prelude::{
    Color, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Outcome;
use crate::report::median;

/// The bars of one scenario.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// One proxy: the median and the spread over rounds.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Bar {
    /// None if there are no values.
    pub(crate) fn of(name: String, values: &[f64]) -> Option<Self> {
        Some(Self {
            name,
            value: median(values.to_vec())?,
            least: values.iter().copied().fold(f64::MAX, f64::min),
            most: values.iter().copied().fold(f64::MIN, f64::max),
        })
    }
}

const WIDTH: i32 = 820;
const LEFT: i32 = 180;
const RIGHT: i32 = 60;
const TOP: i32 = 54;
const BAR: i32 = 11;
const GAP: i32 = 12;

/// Told apart by those who see few colours, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(150, 150, 150),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// Of the same contrast on white and on black, for the picture has no ground of its own.
const INK: RGBColor = RGBColor(118, 118, 118);

/// Draws values relative to 1, under a title.
pub(crate) fn draw(file: &Path, title: &str, groups: &[Group]) -> Outcome<()> {
    let mut names: Vec<&str> = Vec::new();
    for bar in groups.iter().flat_map(|group| &group.bars) {
        if !names.contains(&bar.name.as_str()) {
            names.push(&bar.name);
        }
    }
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + 30 + i32::try_from(bars)? * BAR + i32::try_from(groups.len())? * GAP;
    let most = groups
        .iter()
        .flat_map(|group| &group.bars)
        .fold(1.2_f64, |most, bar| most.max(bar.most));
    let at = |value: f64| LEFT + (f64::from(WIDTH - LEFT - RIGHT) * value / most) as i32;
    let root = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    let words = |horizontal| -> TextStyle<'_> {
        TextStyle::from(("sans-serif", 13).into_font())
            .color(&INK)
            .pos(Pos::new(horizontal, VPos::Center))
    };
    let mut x = LEFT;
    for (at, name) in names.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        root.draw(&Rectangle::new([(x, 10), (x + 12, 22)], colour.filled()))?;
        root.draw(&Text::new(
            (*name).to_owned(),
            (x + 17, 16),
            words(HPos::Left),
        ))?;
        x += 40 + i32::try_from(name.len())? * 8;
    }
    root.draw(&Text::new(title.to_owned(), (LEFT, 38), words(HPos::Left)))?;
    for tick in 0..=(most / 0.5) as i32 {
        let value = f64::from(tick) * 0.5;
        let stroke = if tick == 2 { 2 } else { 1 };
        let line = vec![(at(value), TOP), (at(value), height - 24)];
        root.draw(&PathElement::new(line, INK.mix(0.5).stroke_width(stroke)))?;
        let place = (at(value), height - 12);
        root.draw(&Text::new(
            format!("{value:.1}"),
            place,
            words(HPos::Center),
        ))?;
    }
    let mut y = TOP + GAP / 2;
    for group in groups {
        let middle = y + i32::try_from(group.bars.len())? * BAR / 2;
        root.draw(&Text::new(
            group.name.clone(),
            (LEFT - 8, middle),
            words(HPos::Right),
        ))?;
        for bar in &group.bars {
            let index = names.iter().position(|name| *name == bar.name).unwrap_or(0);
            let colour = COLOURS[index % COLOURS.len()];
            let area = [(at(0.0), y), (at(bar.value), y + BAR - 2)];
            root.draw(&Rectangle::new(area, colour.filled()))?;
            let line = y + BAR / 2 - 1;
            let whisker = vec![(at(bar.least), line), (at(bar.most), line)];
            root.draw(&PathElement::new(whisker, INK.stroke_width(2)))?;
            let value = Text::new(
                format!("{:.2}", bar.value),
                (at(bar.most.max(bar.value)) + 5, line),
                words(HPos::Left),
            );
            root.draw(&value)?;
            y += BAR;
        }
        y += GAP;
    }
    root.present()?;
    Ok(())
}
