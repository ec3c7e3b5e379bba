import type { Navigate } from "~/backend/backend";

/** Places of the rail name themselves (places.ts); "connection" and "settings" are the window's own. */
export type PlaceId = string;

const LAST_PLACE = "cordee.place";

/** Where in the window the person is. */
export class Whereabouts {
  place = $state<PlaceId>(lastPlace());
  room = $state<string | null>(null);
  /** Part of the settings page to show first. */
  section = $state<string | null>(null);

  go(place: PlaceId, section: string | null = null): void {
    this.place = place;
    this.section = section;
    // Only the place is remembered: a room's identifier says with whom somebody talks.
    if (place !== "settings" && place !== "connection") remember(place);
  }

  openRoom(room: string | null): void {
    this.room = room;
    this.go("chat");
  }

  follow(to: Navigate): void {
    if (to.room !== null) this.openRoom(to.room);
    else this.go(to.place);
  }

  forget(): void {
    this.place = "today";
    this.room = null;
    this.section = null;
    remember("today");
  }
}

function lastPlace(): PlaceId {
  try {
    return localStorage.getItem(LAST_PLACE) ?? "today";
  } catch {
    return "today";
  }
}

function remember(place: PlaceId): void {
  try {
    localStorage.setItem(LAST_PLACE, place);
  } catch {
    // Without storage the window opens on Today.
  }
}
