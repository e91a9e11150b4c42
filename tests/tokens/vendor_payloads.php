<?php
// The payload of the vendor's own instructions, its braces mended and its placeholders filled in.
require $argv[1];
$yourSecret = getenv('CHAT_SECRET');
$timestamp = time();

$payload = [
  'name' => 'Ada Lovelace' ,
  'email' => 'ada@shop.example',
  'iat' => $timestamp,
  'exp'=> $timestamp+300,
  'external_id' => '42'
];
$token = sign($payload, $yourSecret, 'HS256');

echo json_encode(['tiledesk' => $token]);
