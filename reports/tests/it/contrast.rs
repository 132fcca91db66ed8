//! The colours of the page against WCAG 2.2 AA, in the light and in the dark scheme.

use std::collections::BTreeMap;

use reports::html;

use crate::support;

/// The custom properties of each scheme: the dark one overrides the light one.
fn schemes() -> [BTreeMap<String, String>; 2] {
    let page = html(&support::record()).expect("the fixture renders");
    let blocks: Vec<&str> = page
        .split(":root {")
        .skip(1)
        .map(|rest| rest.split('}').next().expect("a block"))
        .collect();
    let [light, dark] = blocks.try_into().expect("one block of colours for each scheme");
    let light = properties(light);
    let mut both = light.clone();
    both.extend(properties(dark));
    [light, both]
}

fn properties(block: &str) -> BTreeMap<String, String> {
    let pairs = block.split(';').filter_map(|line| line.trim().split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Relative luminance (WCAG 2.2) of `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |from: usize| {
        let value = f64::from(u8::from_str_radix(&colour[from..from + 2], 16).expect("hexadecimal")) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn assert_contrast(scheme: &BTreeMap<String, String>, over: &str, under: &str, least: f64) {
    let reached = contrast(&scheme[over], &scheme[under]);
    assert!(
        reached >= least,
        "{over} on {under}: {reached:.2}, at least {least} is asked"
    );
}

#[test]
fn text_is_readable() {
    for scheme in schemes() {
        for under in ["--surface", "--page", "--none-tint"] {
            assert_contrast(&scheme, "--ink", under, 4.5);
            assert_contrast(&scheme, "--muted", under, 4.5);
        }
        for tone in ["good", "bad", "warn", "none"] {
            for under in ["--surface".to_owned(), format!("--{tone}-tint")] {
                assert_contrast(&scheme, &format!("--{tone}"), &under, 4.5);
                assert_contrast(&scheme, "--ink", &under, 4.5);
            }
        }
        assert_contrast(&scheme, "--target", "--surface", 4.5);
        assert_contrast(&scheme, "--link", "--page", 4.5);
    }
}

#[test]
fn what_is_drawn_stands_out() {
    for scheme in schemes() {
        for series in 0..6 {
            assert_contrast(&scheme, &format!("--series-{series}"), "--surface", 3.0);
        }
        assert_contrast(&scheme, "--whisker", "--surface", 3.0);
    }
}
