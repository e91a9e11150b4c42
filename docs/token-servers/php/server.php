<?php
/* A token server: it knows who is logged in on your site, and signs that for the chat.
 *
 *     CHAT_SECRET=cgs_… DEMO_PASSWORD=… php -S 127.0.0.1:8090 server.php
 *
 * One file, to be read and taken apart: what is yours to replace is PEOPLE and authenticate(). The secret comes from
 * the environment and never leaves this process. With Composer (composer require firebase/php-jwt) the library signs;
 * without it, the few lines of sign() do the same. */
declare(strict_types=1);

const BODY_BYTES_MAX = 4096;

/** Stands for your table of users. The id is what never changes. */
const PEOPLE = [
    'ada@shop.example' => ['id' => '42', 'first' => 'Ada', 'last' => 'Lovelace', 'verified' => true],
    'zoë@shop.example' => ['id' => '43', 'first' => 'Zoë', 'last' => "O'Brien-Łoś", 'verified' => false],
];

$library = __DIR__ . '/vendor/autoload.php';
if (is_file($library)) {
    require $library;
}

/** Stands for your own login. */
function authenticate(string $email, string $password): bool
{
    $expected = (string) getenv('DEMO_PASSWORD');
    return $expected !== '' && hash_equals($expected, $password) && isset(PEOPLE[$email]);
}

function setting(string $name): string
{
    $value = getenv($name);
    if ($value === false || $value === '') {
        throw new RuntimeException("set $name in the environment");
    }
    return $value;
}

/** RFC 7515 section 2: base64 with the alphabet for addresses and without padding. */
function base64url(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

/** Return a token: header and claims as JSON, and what the key makes of them. */
function sign(array $claims, string $key, string $algorithm): string
{
    if (class_exists(\Firebase\JWT\JWT::class)) {
        return \Firebase\JWT\JWT::encode($claims, $key, $algorithm);
    }
    $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
    $header = json_encode(['typ' => 'JWT', 'alg' => $algorithm], $flags);
    $signed = base64url($header) . '.' . base64url(json_encode($claims, $flags));
    if ($algorithm === 'HS256') {
        $signature = hash_hmac('sha256', $signed, $key, true);
    } elseif (!openssl_sign($signed, $signature, $key, OPENSSL_ALGO_SHA256)) {
        throw new RuntimeException('PRIVATE_KEY is no private key in PEM');
    }
    return $signed . '.' . base64url($signature);
}

/** The gateway's own profile. */
function canonical(string $email, int $now): string
{
    $person = PEOPLE[$email];
    return sign([
        'external_id' => $person['id'],
        'name' => "{$person['first']} {$person['last']}",
        'email' => $email,
        'email_verified' => $person['verified'],
        'iat' => $now,
        'exp' => $now + 600,
    ], setting('CHAT_SECRET'), 'HS256');
}

/** RS256: the gateway has the public half of the key only. */
function plain(string $email, int $now): string
{
    $person = PEOPLE[$email];
    return sign([
        'fullName' => "{$person['first']} {$person['last']}",
        'shortName' => $person['first'],
        'email' => ['email' => $email, 'isVerified' => $person['verified']],
        'externalId' => $person['id'],
        'iat' => $now,
        'exp' => $now + 3600,
    ], setting('PRIVATE_KEY'), 'RS256');
}

/** At most ten minutes. */
function tiledesk(string $email, int $now): string
{
    $person = PEOPLE[$email];
    return sign([
        'name' => "{$person['first']} {$person['last']}",
        'email' => $email,
        'iat' => $now,
        'exp' => $now + 600,
        'external_id' => $person['id'],
    ], setting('CHAT_SECRET'), 'HS256');
}

function pingstreams(string $email, int $now): string
{
    $person = PEOPLE[$email];
    $project = setting('CHAT_PROJECT');
    return sign([
        '_id' => "{$project}_{$person['id']}",
        'sub' => 'userexternal',
        'aud' => "https://chat.example/projects/$project",
        'firstname' => $person['first'],
        'lastname' => $person['last'],
        'email' => $email,
        'iat' => $now,
        'exp' => $now + 600,
    ], setting('CHAT_SECRET'), 'HS256');
}

/** On demand: the person is created when the token is first used. `exp` is not asked for, and wise. */
function deskpro(string $email, int $now): string
{
    $person = PEOPLE[$email];
    return sign([
        'email' => $email,
        'first_name' => $person['first'],
        'last_name' => $person['last'],
        'iat' => $now,
        'exp' => $now + 600,
    ], setting('CHAT_SECRET'), 'HS256');
}

/** What the address answers to whoever is logged in: a text, or an array as JSON; null when there is no such address. */
function token_at(string $path, string $email, int $now): string|array|null
{
    return match ($path) {
        '/chat-token' => canonical($email, $now),
        '/api/get-customer-jwt' => ['plain_customer_jwt' => plain($email, $now)],
        '/tiledesk-token' => ['token' => tiledesk($email, $now)],
        '/deskpro-token' => ['jwt' => deskpro($email, $now)],
        default => null,
    };
}

function answer(int $status, string|array $said): void
{
    http_response_code($status);
    header('Cache-Control: no-store');
    if (is_string($said)) {
        header('Content-Type: text/plain; charset=utf-8');
        echo $said;
    } else {
        header('Content-Type: application/json; charset=utf-8');
        echo json_encode((object) $said);
    }
}

function handle(): void
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        answer(405, ['error' => 'POST']);
        return;
    }
    $path = rtrim((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
    $said = json_decode((string) file_get_contents('php://input', false, null, 0, BODY_BYTES_MAX), true);
    $said = is_array($said) ? $said : [];
    $email = is_string($said['email'] ?? null) ? $said['email'] : '';
    $password = is_string($said['password'] ?? null) ? $said['password'] : '';
    session_start([
        'name' => 'session', 'cookie_httponly' => true, 'cookie_samesite' => 'Lax', 'use_strict_mode' => true,
        'cache_limiter' => '',
    ]);
    if ($path === '/login' || $path === '/auth') {
        if (!authenticate($email, $password)) {
            answer(401, ['error' => 'email or password is wrong']);
        } elseif ($path === '/auth') {
            answer(200, ['token' => pingstreams($email, time())]);
        } else {
            session_regenerate_id(true);
            $_SESSION['email'] = $email;
            answer(200, []);
        }
        return;
    }
    if ($path === '/logout') {
        $_SESSION = [];
        session_destroy();
        answer(200, []);
        return;
    }
    if (!isset($_SESSION['email'])) {
        answer(401, ['error' => 'log in first']);
        return;
    }
    $made = token_at($path, $_SESSION['email'], time());
    $made === null ? answer(404, ['error' => 'not found']) : answer(200, $made);
}

try {
    handle();
} catch (Throwable $error) {
    // What is missing is for whoever runs this, not for a visitor.
    error_log($error->getMessage());
    answer(500, ['error' => 'not configured']);
}
