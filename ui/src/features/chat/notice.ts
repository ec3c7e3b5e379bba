import type { Author, RoomNotice } from "~/backend/backend";
import { m } from "~/paraglide/messages";

/** What happened in a room, in one sentence. */
export function noticeLine(notice: RoomNotice, author: Author): string {
  const name = author.name;
  const target = notice.target ?? name;
  const value = notice.value ?? "";
  switch (notice.type) {
    case "joined":
      return m.notice_joined({ name: target });
    case "left":
      return m.notice_left({ name: target });
    case "invited":
      return m.notice_invited({ name, target });
    case "removed":
      return m.notice_removed({ name, target });
    case "named":
      return m.notice_named({ name, value });
    case "topic":
      return value === "" ? m.notice_topic_removed({ name }) : m.notice_topic({ name, value });
    case "avatar":
      return m.notice_avatar({ name });
    case "encryption":
      return m.notice_encryption();
    case "created":
      return m.notice_created({ name });
    case "profile":
      return m.notice_profile({ name });
    case "other":
      return m.notice_other({ name });
  }
}
