//! Where names go beside points, so that they hide neither each other nor what is drawn.
//!
//! **Invariant.** Places depend on the order of the calls alone.

/// A rectangle in pixels: left, top, right, bottom.
pub(super) type Box = (i32, i32, i32, i32);

/// Height of a line of text, and the width of a letter, of the size that names have.
pub(super) const LINE: i32 = 14;
const LETTER: i32 = 7;

/// What is taken.
#[derive(Debug)]
pub(super) struct Places {
    /// Nothing is placed beyond it.
    bounds: Box,
    taken: Vec<Box>,
}

impl Places {
    pub(super) fn new(bounds: Box) -> Places {
        Places { bounds, taken: Vec::new() }
    }

    /// Notes what is drawn.
    pub(super) fn take(&mut self, what: Box) {
        self.taken.push(what);
    }

    /// Notes a line of text that ends at a point.
    pub(super) fn take_text(&mut self, right: i32, middle: i32, text: &str) {
        self.take((right - width(text), middle - LINE / 2, right, middle + LINE / 2));
    }

    /// The place of lines of text near a point that is drawn with this radius: where the least is
    /// hidden, and the nearest of these.
    pub(super) fn near(&mut self, (x, y): (i32, i32), radius: i32, lines: &[String]) -> Box {
        let wide = lines.iter().map(|l| width(l)).max().unwrap_or(0);
        let high = LINE * lines.len() as i32;
        let mut best: Option<(i64, Box)> = None;
        for gap in [8, 30, 60, 100, 150] {
            let away = radius + gap;
            let (left, middle, right) = (x - away - wide, x - wide / 2, x + away);
            let (above, beside, below) = (y - away - high, y - high / 2, y + away);
            let corners = [
                (right, beside),
                (left, beside),
                (right, below),
                (left, below),
                (middle, below),
                (right, above),
                (left, above),
                (middle, above),
            ];
            for (left, top) in corners {
                let place = (left, top, left + wide, top + high);
                let hidden = self.hidden(place);
                if best.is_none_or(|b| hidden < b.0) {
                    best = Some((hidden, place));
                }
            }
        }
        let place = best.map_or((x, y, x + wide, y + high), |b| b.1);
        self.take(place);
        place
    }

    /// Pixels that are taken already, or beyond the bounds.
    fn hidden(&self, place: Box) -> i64 {
        let common = |a: Box, b: Box| {
            let (wide, high) = (a.2.min(b.2) - a.0.max(b.0), a.3.min(b.3) - a.1.max(b.1));
            i64::from(wide.max(0)) * i64::from(high.max(0))
        };
        let all = i64::from(place.2 - place.0) * i64::from(place.3 - place.1);
        let beyond = 10 * (all - common(place, self.bounds));
        beyond + self.taken.iter().map(|t| common(place, *t)).sum::<i64>()
    }
}

/// About how wide a text is.
pub(super) fn width(text: &str) -> i32 {
    LETTER * text.chars().count() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: Box, b: Box) -> bool {
        a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1
    }

    #[test]
    fn names_of_near_points_do_not_meet() {
        let mut places = Places::new((0, 0, 600, 400));
        let points = [(300, 200), (310, 205), (290, 190), (305, 180), (590, 395), (5, 5)];
        for (x, y) in points {
            places.take((x - 8, y - 8, x + 8, y + 8));
        }
        let names = ["one name", "another name, a longer one"].map(str::to_owned);
        let placed: Vec<Box> = points.iter().map(|p| places.near(*p, 8, &names)).collect();
        for (i, a) in placed.iter().enumerate() {
            assert!(a.0 >= 0 && a.1 >= 0 && a.2 <= 600 && a.3 <= 400, "{a:?} is cut off");
            assert!(points.iter().all(|(x, y)| apart(*a, (x - 8, y - 8, x + 8, y + 8))), "{a:?} hides a point");
            assert!(placed[..i].iter().all(|b| apart(*a, *b)), "{a:?} hides a name");
        }
    }

    #[test]
    fn the_nearest_free_place_is_to_the_right() {
        let mut places = Places::new((0, 0, 600, 400));
        assert_eq!(places.near((100, 100), 5, &["name".to_owned()]), (113, 93, 141, 107));
    }
}
