/** Fits what the documentation says of an event that only the commands of a fleet print. */
export const OF_A_FLEET = /; of `(?:enqueue|worker|fleet)`\.$/;
