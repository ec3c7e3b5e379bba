import type { Desk } from "~/desk.svelte";
import { m } from "~/paraglide/messages";

/** A file from the clipboard or a drop crosses to Rust as one base64 string: larger ones are
    attached by path instead, which costs this window no memory. */
const LARGEST = 40_000_000;

/** `false` when it was not taken; the person has been told why. */
export async function sendFile(desk: Desk, roomId: string, file: File): Promise<boolean> {
  if (file.size > LARGEST) {
    desk.notices.say(m.drop_too_large({ name: file.name }));
    return false;
  }
  const bytes = await base64(file);
  if (bytes === null) {
    desk.notices.say(m.file_not_readable({ name: file.name }));
    return false;
  }
  const mime = file.type === "" ? "application/octet-stream" : file.type;
  const answer = await desk.notices.check(desk.backend.chat.sendBytes(roomId, file.name, mime, bytes));
  return answer.status === "ok";
}

/** `null` for what cannot be read, for example a dropped folder. */
function base64(file: File): Promise<string | null> {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/u, ""));
    reader.onerror = () => resolve(null);
    reader.readAsDataURL(file);
  });
}
