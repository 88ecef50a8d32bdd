/** Of the BITS server. */
export const SERVER_ADDRESS = '10.88.0.2';
export const OTHER_SERVER_ADDRESS = '10.88.0.3';
export const CLIENT_ADDRESS = '10.77.0.2';
export const OTHER_CLIENT_ADDRESS = '10.77.0.3';

export const BITS_PORT = 8080;
/** Takes a PUT of anything, for comparison. */
export const PUT_PORT = 8081;
