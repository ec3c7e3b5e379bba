//! Embeds the configuration, the capabilities and the commit that the binary was built from.

fn main() {
    let commit = std::process::Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|out| out.status.success())
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    println!("cargo:rustc-env=CORDEE_COMMIT={commit}");
    println!("cargo:rerun-if-changed=../.git/HEAD");
    tauri_build::build();
}
