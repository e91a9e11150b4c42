// The payloads of the vendors' own instructions, with their placeholders filled in, signed by the real jsonwebtoken.
var jwt = require('jsonwebtoken');
var yourSecret = process.env.CHAT_SECRET;
var projectId = process.env.CHAT_PROJECT;
var timestamp = Math.floor(Date.now() / 1000);
var tokens = {};

// Tiledesk. The algorithm is the library's default.
var payload = {
  name: 'Ada Lovelace',
  email: 'ada@shop.example',
  iat: timestamp,
  exp: timestamp+300,
  external_id: '42'
};
tokens.tiledesk = jwt.sign(payload, yourSecret);
tokens.tiledesk_prefixed = 'JWT ' + tokens.tiledesk;

// Plain. iat and exp are the library's.
const customer = {
fullName: "Garnett Hermann",
shortName: "Garnett",
email: {
email: "garnett.hermann@aol.com",
isVerified: false
},
externalId: "your_id",
};
tokens.plain = jwt.sign(customer, process.env.PRIVATE_KEY, {
algorithm: "RS256",
expiresIn: "1h"
});

// Deskpro, managed upfront and on demand: nothing but the documented payload, and without the library's iat.
tokens.deskpro_upfront = jwt.sign({ deskpro_id: "42" }, yourSecret);
tokens.deskpro_upfront_timeless = jwt.sign({ deskpro_id: "42" }, yourSecret, { noTimestamp: true });
tokens.deskpro_on_demand = jwt.sign(
  { email: "john.smith@example.com", first_name: "John", last_name: "Smith", usergroup_ids: ["3", "4"] },
  yourSecret
);

// Pingstreams, the newer generation: project and kind of user stand in the library's options.
tokens.pingstreams = jwt.sign(
  { _id: projectId + '_' + '42', firstname: 'Ada', lastname: 'Lovelace', email: 'user@example.com', attributes: { plan: 'gold' } },
  yourSecret,
  { subject: 'userexternal', audience: 'https://tiledesk.com/projects/' + projectId }
);

process.stdout.write(JSON.stringify(tokens));
