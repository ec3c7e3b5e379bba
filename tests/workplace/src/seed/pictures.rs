//! Pictures that people send each other: charts and plans, drawn here.

use std::io::Cursor;

use anyhow::{Result, bail};
use image::{ImageFormat, Rgb, RgbImage};

use super::font::glyph;

const INK: Rgb<u8> = Rgb([33, 43, 50]);
const GREY: Rgb<u8> = Rgb([214, 220, 224]);
const TEAL: Rgb<u8> = Rgb([11, 110, 117]);
const SAND: Rgb<u8> = Rgb([240, 180, 90]);
const RED: Rgb<u8> = Rgb([200, 70, 60]);
const PALE: Rgb<u8> = Rgb([228, 242, 241]);

/// The picture of this name as PNG, with its width and height.
pub fn png(name: &str) -> Result<(Vec<u8>, u32, u32)> {
    let picture = match name {
        "occupation-lits.png" => bars(
            "LITS OCCUPÉS PAR SERVICE %",
            &[
                ("CARDIO", 92),
                ("URGENCES", 98),
                ("PNEUMO", 88),
                ("PÉDIA", 64),
                ("CHIR", 71),
                ("GÉRIA", 95),
            ],
        ),
        "appels-standard.png" => bars(
            "APPELS AU STANDARD PAR JOUR / 10",
            &[
                ("LUN", 78),
                ("MAR", 96),
                ("MER", 61),
                ("JEU", 54),
                ("VEN", 49),
                ("SAM", 22),
                ("DIM", 18),
            ],
        ),
        "teletravail-semaine.png" => bars(
            "POSTES EN TÉLÉTRAVAIL PAR JOUR",
            &[
                ("LUN", 42),
                ("MAR", 55),
                ("MER", 71),
                ("JEU", 63),
                ("VEN", 80),
            ],
        ),
        "plan-salle-crise.png" => plan(
            "SALLE DE CRISE - NIVEAU 2",
            &[
                (40, 90, 260, 190, "RÉUNION"),
                (320, 90, 180, 190, "ÉCRANS"),
                (520, 90, 160, 190, "RADIO"),
                (40, 300, 200, 150, "REPOS"),
                (260, 300, 240, 150, "COURS"),
                (520, 300, 160, 150, "CAFÉ"),
            ],
        ),
        "plan-urgences.png" => plan(
            "URGENCES - CIRCUIT PROVISOIRE",
            &[
                (40, 90, 200, 130, "ACCUEIL"),
                (260, 90, 200, 130, "TRI"),
                (480, 90, 200, 130, "BOX 1-4"),
                (40, 240, 200, 210, "ATTENTE"),
                (260, 240, 200, 210, "IMAGERIE"),
                (480, 240, 200, 210, "DÉCHOC"),
            ],
        ),
        "courbe-passages.png" => curve(
            "PASSAGES AUX URGENCES PAR HEURE",
            &[
                3, 2, 2, 1, 1, 2, 4, 7, 11, 14, 16, 15, 13, 14, 16, 17, 18, 19, 17, 14, 11, 9, 6, 4,
            ],
        ),
        other => bail!("there is no picture {other}"),
    };
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png)?;
    Ok((file.into_inner(), picture.width(), picture.height()))
}

fn sheet(title: &str) -> RgbImage {
    let mut sheet = RgbImage::from_pixel(720, 480, Rgb([255, 255, 255]));
    fill(&mut sheet, 0, 0, 720, 56, TEAL);
    write(&mut sheet, 24, 17, title, 3, Rgb([255, 255, 255]));
    sheet
}

fn bars(title: &str, values: &[(&str, u32)]) -> RgbImage {
    let mut sheet = sheet(title);
    for line in 0..5 {
        let y = 420 - line * 80;
        fill(&mut sheet, 60, y, 640, 1, GREY);
        write(&mut sheet, 16, y - 7, &(line * 25).to_string(), 2, INK);
    }
    let step = 640 / u32::try_from(values.len()).unwrap_or(1).max(1);
    for (number, (label, value)) in (0..).zip(values) {
        let height = value * 320 / 100;
        let x = 60 + number * step + step / 6;
        let colour = if *value >= 95 {
            RED
        } else if *value >= 85 {
            SAND
        } else {
            TEAL
        };
        fill(&mut sheet, x, 420 - height, step * 2 / 3, height, colour);
        write(&mut sheet, x, 430, label, 2, INK);
        write(&mut sheet, x, 400 - height, &value.to_string(), 2, INK);
    }
    sheet
}

fn plan(title: &str, rooms: &[(u32, u32, u32, u32, &str)]) -> RgbImage {
    let mut sheet = sheet(title);
    for (x, y, width, height, label) in rooms {
        fill(&mut sheet, *x, *y, *width, *height, INK);
        fill(&mut sheet, x + 3, y + 3, width - 6, height - 6, PALE);
        // A door.
        fill(
            &mut sheet,
            x + width / 2 - 18,
            y + height - 3,
            36,
            3,
            Rgb([255, 255, 255]),
        );
        write(&mut sheet, x + 16, y + height / 2 - 8, label, 3, TEAL);
    }
    sheet
}

fn curve(title: &str, values: &[u32]) -> RgbImage {
    let mut sheet = sheet(title);
    for line in 0..5 {
        let y = 420 - line * 80;
        fill(&mut sheet, 60, y, 640, 1, GREY);
        write(&mut sheet, 20, y - 7, &(line * 5).to_string(), 2, INK);
    }
    let step = 640 / u32::try_from(values.len()).unwrap_or(1).max(1);
    for (number, pair) in (0..).zip(values.windows(2)) {
        for part in 0..step {
            let high = (pair[0] * (step - part) + pair[1] * part) * 16 / step;
            let (x, y) = (60 + number * step + part, 420 - high);
            fill(&mut sheet, x, y, 1, high, PALE);
            fill(&mut sheet, x, y - 3, 3, 5, TEAL);
        }
        if number % 4 == 0 {
            write(
                &mut sheet,
                56 + number * step,
                430,
                &format!("{number} H"),
                2,
                INK,
            );
        }
    }
    sheet
}

fn fill(sheet: &mut RgbImage, x: u32, y: u32, width: u32, height: u32, colour: Rgb<u8>) {
    for py in y..(y + height).min(sheet.height()) {
        for px in x..(x + width).min(sheet.width()) {
            sheet.put_pixel(px, py, colour);
        }
    }
}

fn write(sheet: &mut RgbImage, x: u32, y: u32, text: &str, size: u32, colour: Rgb<u8>) {
    for (place, c) in (0..).zip(text.chars()) {
        for (row, bits) in (0..).zip(glyph(c)) {
            for column in 0..5 {
                if bits & (16 >> column) != 0 {
                    fill(
                        sheet,
                        x + (place * 6 + column) * size,
                        y + row * size,
                        size,
                        size,
                        colour,
                    );
                }
            }
        }
    }
}
