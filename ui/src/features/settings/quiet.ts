/** Seven in the morning, `days` + 1 days from now: quiet for today ends before tomorrow's work. */
export function endOfDay(now: number, days: number): number {
  const day = new Date(now);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days + 1, 7).getTime();
}
