//! The page and the picture of a result, as a reader sees them: in a real browser, on light and
//! dark ground and on paper.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod reports;

use std::collections::HashSet;

use browser::{Browser, Measured, Style};
use latency_tests::latency::out::{page, picture};
use tiny_skia::Pixmap;

/// A4 between its margins, in units of style sheets.
const PAPER: u32 = 695;

/// Colours of a part of a picture, and which part of it is not of the most frequent colour.
fn drawn(of: &Pixmap, [left, top, width, height]: [f64; 4]) -> (usize, f64) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a picture")]
    let [left, top, width, height] = [left, top, width, height].map(|it| it.max(0.0) as u32);
    let mut pixels = Vec::new();
    for y in top..(top + height).min(of.height()) {
        let row = (left..(left + width).min(of.width())).filter_map(|x| of.pixel(x, y));
        pixels.extend(row.map(|it| [it.red(), it.green(), it.blue()]));
    }
    pixels.sort_unstable();
    let most = pixels.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0);
    let colours: HashSet<_> = pixels.iter().collect();
    (colours.len(), 1.0 - most as f64 / pixels.len().max(1) as f64)
}

/// What a reader would stumble over, a line each.
fn faults(of: &Measured, what: &str) -> Vec<String> {
    let lists = [
        ("text is cut", &of.cut),
        ("text on text", &of.overlapping),
        ("beside the drawing", &of.outside),
        ("pale text", &of.contrast),
        ("fetched", &of.outer_resources),
    ];
    let listed = lists.iter().flat_map(|(fault, all)| all.iter().map(move |it| (*fault, it)));
    let mut faults: Vec<String> =
        listed.map(|(fault, it)| format!("{what}: {fault}: {it}")).collect();
    let checks = [
        (of.least_contrast < 30.0, "no text was measured"),
        (of.scroll_width <= of.width, "it is wider than the window"),
        (of.font, "the font of the page was not read"),
        (of.title != "taken", "a name was run as a script"),
    ];
    let failed = checks.iter().filter(|(is_fine, _)| !is_fine);
    faults.extend(failed.map(|(_, fault)| format!("{what}: {fault}")));
    faults
}

#[test]
fn no_text_is_cut_covered_or_pale_at_any_width_theme_or_paper() {
    let Some(browser) = Browser::find("measured") else { return };
    let styles =
        [(Style::Light, 1_280), (Style::Light, 800), (Style::Dark, 1_280), (Style::Print, PAPER)];
    let mut all = Vec::new();
    for (name, report) in reports::all() {
        let html = page::html(&report);
        for (style, width) in styles {
            let found = browser.measure(&html, style, width);
            all.extend(faults(&found, &format!("{name} {style:?} {width}")));
            assert_eq!(found.dark, style == Style::Dark, "the browser has the theme asked for");
            assert_eq!(found.figures.len(), 4 * report.runs.len(), "{name}");
            assert!(found.figures.iter().all(|it| it.shapes > 1), "{name}: {:?}", found.figures);
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn what_is_cut_covered_pale_or_too_wide_is_found() {
    let Some(browser) = Browser::find("faults") else { return };
    let html = page::html(&reports::four());
    let with = |fault: &str| {
        let html = html.replace("</style>", &format!("{fault}</style>"));
        browser.measure(&html, Style::Light, 1_280)
    };
    let large = with("svg text { font-size: 40px }");
    assert!(!large.overlapping.is_empty() && !large.cut.is_empty());
    assert!(!with("td { white-space: nowrap; max-width: 20px }").cut.is_empty());
    assert!(!with(".quiet { color: #bbb }").contrast.is_empty());
    let wide = with("table { width: 1700px }");
    assert!(wide.scroll_width > wide.width);
}

#[test]
fn each_chart_is_drawn_in_each_theme_and_on_paper() {
    let Some(browser) = Browser::find("looks") else { return };
    for (name, report) in reports::all() {
        let html = page::html(&report);
        for (style, width) in [(Style::Light, 1_280), (Style::Dark, 1_280), (Style::Print, PAPER)] {
            let measured = browser.measure(&html, style, width);
            let file = format!("{name}-{style:?}").to_lowercase();
            let height = measured.height.min(16_000.0);
            let picture = browser.picture(&file, &html, style, [f64::from(width), height]);
            let samples = report.series().any(|(_, it)| it.seen.samples > 0);
            let seen = measured.figures.iter().filter(|it| it.top + it.height <= height);
            for figure in seen {
                let place = [figure.left, figure.top, figure.width, figure.height];
                let (colours, part) = drawn(&picture, place);
                let empty = !samples || report.runs.iter().any(|it| it.series.is_empty());
                let (least, least_part) = if empty { (3, 0.001) } else { (12, 0.01) };
                let what = format!("{file}: {}: {colours} colours, {part:.4}", figure.name);
                assert!(colours >= least && part >= least_part, "{what}");
            }
            let [r, g, b] =
                picture.pixel(2, 2).map(|it| [it.red(), it.green(), it.blue()]).unwrap();
            let bright = u32::from(r) + u32::from(g) + u32::from(b) > 3 * 128;
            assert_eq!(bright, style != Style::Dark, "{file}: the ground");
        }
    }
}

#[test]
fn a_printer_gets_pages() {
    let Some(browser) = Browser::find("print") else { return };
    for (name, report) in [("four", reports::four()), ("sixty_four", reports::sixty_four())] {
        let pdf = browser.pdf(name, &page::html(&report));
        let pages = pdf.windows(11).filter(|it| *it == b"/Type /Page").count();
        assert!(pdf.starts_with(b"%PDF") && pages >= 3, "{name}: {pages} pages");
    }
}

#[test]
fn a_page_fetches_nothing_and_runs_nothing() {
    for (name, report) in reports::all() {
        let html = page::html(&report);
        for word in ["<script", "http:", "https:", "src=", "href=", "@import", "\u{1b}", "\u{202e}"]
        {
            assert!(!html.contains(word), "{name}: {word}");
        }
        assert!(html.len() < 4 << 20, "{name}: {} octets", html.len());
    }
}

#[test]
fn the_picture_shows_each_of_its_charts() {
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("latency_page/png");
    std::fs::create_dir_all(&home).unwrap();
    for (name, report) in reports::all() {
        let png = picture::png(&report).unwrap();
        std::fs::write(home.join(format!("{name}.png")), &png).unwrap();
        let pixels = Pixmap::decode_png(&png).unwrap();
        assert_eq!(pixels.width(), 1_600, "{name}");
        let (colours, part) = drawn(&pixels, [0.0, 0.0, 1_600.0, 60.0]);
        assert!(colours > 10 && part > 0.005, "{name}: no title: {colours} {part}");
        if !matches!(name, "four" | "sixty_four") {
            continue;
        }
        let high = f64::from(pixels.height());
        for (left, top) in [(0.0, 150.0), (800.0, 150.0), (0.0, high / 2.0), (800.0, high / 2.0)] {
            let (colours, part) = drawn(&pixels, [left, top, 800.0, high / 2.0 - 150.0]);
            assert!(colours > 40 && part > 0.02, "{name} {left} {top}: {colours} {part}");
        }
    }
}
