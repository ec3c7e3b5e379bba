import MessageCircle from "@lucide/svelte/icons/message-circle";
import type { Place } from "~/features/window/place";
import { m } from "~/paraglide/messages";
import Chat from "./Chat.svelte";

export const chat: Place = {
  id: "chat",
  label: () => m.place_chat(),
  icon: MessageCircle,
  view: Chat,
  badge: (desk) => {
    const { unread, invitations } = desk.chat.status;
    const count = Math.max(0, unread - desk.rooms.beingRead) + invitations;
    return { count, label: m.unread_rooms({ count }) };
  },
};
