//! « Gardes-decembre.pdf »: a small table of who is on duty, written as PDF by hand.

use std::fmt::Write as _;

pub const NAME: &str = "Gardes-decembre.pdf";
const ROWS: [[&str; 4]; 12] = [
    ["Lun. 1", "Dr Durand", "Dr Diallo", "M. Haddad"],
    ["Mar. 2", "Dr Benali", "Dr Roux", "M. Lambert"],
    ["Mer. 3", "Dr Morel", "Dr Diallo", "M. Lefèvre"],
    ["Jeu. 4", "Dr Durand", "Dr Faure", "M. Haddad"],
    ["Ven. 5", "Dr Benali", "Dr Roux", "Mme Petit"],
    ["Sam. 6", "Dr Morel", "Dr Noël", "M. Lambert"],
    ["Dim. 7", "Dr Morel", "Dr Noël", "M. Lambert"],
    ["Lun. 8", "Dr Durand", "Dr Lemoine", "M. Lefèvre"],
    ["Mar. 9", "Dr Benali", "Dr Diallo", "M. Haddad"],
    ["Mer. 10", "Dr Morel", "Dr Roux", "Mme Petit"],
    ["Jeu. 11", "Dr Durand", "Dr Faure", "M. Lambert"],
    ["Ven. 12", "Dr Benali", "Dr Lemoine", "M. Lefèvre"],
];

/// The file's bytes.
pub fn pdf() -> Vec<u8> {
    let page = page();
    let objects: [Vec<u8>; 6] = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (fr-FR) >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
          /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>"
            .to_vec(),
        [
            format!("<< /Length {} >>\nstream\n", page.len()).as_bytes(),
            page.as_slice(),
            b"\nendstream",
        ]
        .concat(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_vec(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"
            .to_vec(),
    ];
    // The comment with high bytes tells programs that copy files that this one is binary (ISO 32000-1 §7.5.2).
    let mut file = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        file.extend_from_slice(format!("{} 0 obj\n", number + 1).as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let start = file.len();
    let trailer = format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    file.extend_from_slice(table.as_bytes());
    file.extend_from_slice(trailer.as_bytes());
    file
}

fn page() -> Vec<u8> {
    let mut page = Vec::new();
    page.extend_from_slice(b"0.04 0.43 0.46 rg 0 770 595 72 re f 1 1 1 rg\n");
    text(&mut page, "F2", 20, 48, 805, "Cliniques Saint-Elme");
    text(&mut page, "F1", 13, 48, 784, "Tableau des gardes, décembre");
    page.extend_from_slice(b"0.1 0.15 0.18 rg\n");
    let columns = [48, 150, 290, 430];
    for (column, title) in columns
        .iter()
        .zip(["Jour", "Cardiologie", "Urgences", "Soins"])
    {
        text(&mut page, "F2", 12, *column, 730, title);
    }
    for (number, row) in ROWS.iter().enumerate() {
        let y = 704 - 26 * i32::try_from(number).unwrap_or_default();
        page.extend_from_slice(
            format!("0.85 0.88 0.9 RG 48 {} m 547 {} l S\n", y + 17, y + 17).as_bytes(),
        );
        for (column, cell) in columns.iter().zip(row) {
            text(&mut page, "F1", 12, *column, y, cell);
        }
    }
    text(
        &mut page,
        "F1",
        10,
        48,
        350,
        "Échanges de garde : prévenir le secrétariat central, poste 4012.",
    );
    page
}

/// One line of text in the encoding of the fonts (Latin-1 is a part of it).
fn text(page: &mut Vec<u8>, font: &str, size: u8, x: i32, y: i32, line: &str) {
    page.extend_from_slice(format!("BT /{font} {size} Tf {x} {y} Td (").as_bytes());
    for c in line.chars() {
        if matches!(c, '(' | ')' | '\\') {
            page.push(b'\\');
        }
        page.push(u8::try_from(u32::from(c)).unwrap_or(b'?'));
    }
    page.extend_from_slice(b") Tj ET\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    #[test]
    fn the_table_of_the_file_points_at_its_objects() {
        let file = super::pdf();
        let find = |wanted: &[u8]| {
            file.windows(wanted.len())
                .position(|part| part == wanted)
                .unwrap()
        };
        let start = find(b"startxref\n") + 10;
        let digits: String = file[start..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .map(|&b| char::from(b))
            .collect();
        assert!(file[digits.parse::<usize>().unwrap()..].starts_with(b"xref"));
        for number in 1..=6 {
            let at = find(format!("\n{number} 0 obj").as_bytes()) + 1;
            find(format!("{at:010} 00000 n").as_bytes());
        }
    }
}
