//! The pictures: bars and their spread, in colours that can be read on white and on black.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend,
    Text, TextStyle,
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
    let picture = Picture {
        area: SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area(),
        names,
        height,
        most,
    };
    picture.legend()?;
    picture.words(title, (LEFT, 38), HPos::Left)?;
    picture.scale()?;
    let mut y = TOP + GAP / 2;
    for group in groups {
        y = picture.group(group, y)? + GAP;
    }
    picture.area.present()?;
    Ok(())
}

struct Picture<'run> {
    area: DrawingArea<SVGBackend<'run>, Shift>,
    names: Vec<&'run str>,
    height: i32,
    /// The value at the right end.
    most: f64,
}

impl Picture<'_> {
    fn at(&self, value: f64) -> i32 {
        LEFT + (f64::from(WIDTH - LEFT - RIGHT) * value / self.most) as i32
    }

    fn colour(&self, name: &str) -> RGBColor {
        let index = self.names.iter().position(|one| *one == name);
        COLOURS[index.unwrap_or(0) % COLOURS.len()]
    }

    fn words(&self, words: &str, place: (i32, i32), side: HPos) -> Outcome<()> {
        let style = TextStyle::from(("sans-serif", 16).into_font())
            .color(&INK)
            .pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(words, place, style))?;
        Ok(())
    }

    fn legend(&self) -> Outcome<()> {
        let mut x = LEFT;
        for name in &self.names {
            let square = [(x, 10), (x + 12, 22)];
            self.area
                .draw(&Rectangle::new(square, self.colour(name).filled()))?;
            self.words(name, (x + 17, 16), HPos::Left)?;
            x += 40 + i32::try_from(name.len())? * 8;
        }
        Ok(())
    }

    /// A line at each half, and a stronger one at 1.
    fn scale(&self) -> Outcome<()> {
        for tick in 0..=(self.most / 0.5) as i32 {
            let value = f64::from(tick) * 0.5;
            let x = self.at(value);
            let line = vec![(x, TOP), (x, self.height - 24)];
            let stroke = INK.mix(0.5).stroke_width(if tick == 2 { 2 } else { 1 });
            self.area.draw(&PathElement::new(line, stroke))?;
            self.words(&format!("{value:.1}"), (x, self.height - 12), HPos::Center)?;
        }
        Ok(())
    }

    /// Draws from `y` on, and says where it ended.
    fn group(&self, group: &Group, mut y: i32) -> Outcome<i32> {
        let middle = y + i32::try_from(group.bars.len())? * BAR / 2;
        self.words(&group.name, (LEFT - 8, middle), HPos::Right)?;
        for bar in &group.bars {
            let area = [(self.at(0.0), y), (self.at(bar.value), y + BAR - 2)];
            let colour = self.colour(&bar.name);
            self.area.draw(&Rectangle::new(area, colour.filled()))?;
            let line = y + BAR / 2 - 1;
            let whisker = vec![(self.at(bar.least), line), (self.at(bar.most), line)];
            self.area
                .draw(&PathElement::new(whisker, INK.stroke_width(2)))?;
            let end = self.at(bar.most.max(bar.value)) + 5;
            self.words(&format!("{:.2}", bar.value), (end, line), HPos::Left)?;
            y += BAR;
        }
        Ok(y)
    }
}
