//! The lines of a session description that this crate reads itself.

use std::collections::HashMap;

/// More sources than this in one description are not believed: 50 participants have about 300.
const MOST_SOURCES: usize = 4096;

/// Which section (`a=mid`, RFC 5888) each source (`a=ssrc`, RFC 5576) belongs to.
pub(crate) fn sections_of_sources(description: &str) -> HashMap<u32, String> {
    let mut sections = HashMap::new();
    // Within a section the sources may come before its name.
    for section in description.split("\nm=").skip(1) {
        let lines = || section.lines().map(str::trim_end);
        let Some(mid) = lines().find_map(|line| line.strip_prefix("a=mid:")) else {
            continue;
        };
        let sources = lines()
            .filter_map(|line| line.strip_prefix("a=ssrc:"))
            .filter_map(|rest| rest.split(' ').next()?.parse().ok());
        for source in sources {
            if sections.len() == MOST_SOURCES {
                return sections;
            }
            sections.insert(source, mid.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_source_is_found_in_its_section() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ssrc:11 cname:x\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ssrc-group:FID 21 22\r\na=ssrc:21 cname:x\r\na=ssrc:22 cname:x\r\na=mid:1\r\n";
        let sections = sections_of_sources(sdp);
        assert_eq!(sections.len(), 3);
        assert_eq!(sections[&11], "0");
        assert_eq!(sections[&21], "1");
        assert_eq!(sections[&22], "1");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,400}", line in "(\nm=|a=mid:|a=ssrc:)[0-9 ]{0,12}") {
            sections_of_sources(&text);
            sections_of_sources(&format!("{line}{text}{line}"));
        }
    }
}
