-- Runs once, when the volume of PostgreSQL is empty: a database and a user each for Label Studio and Handover,
-- neither of which can enter the other's database. The passwords come from the environment of the container.
\getenv label_studio_password POSTGRES_LABEL_STUDIO_PASSWORD
\getenv handover_password POSTGRES_HANDOVER_PASSWORD

CREATE ROLE label_studio LOGIN PASSWORD :'label_studio_password';
CREATE DATABASE label_studio OWNER label_studio;
REVOKE ALL ON DATABASE label_studio FROM PUBLIC;

CREATE ROLE handover LOGIN PASSWORD :'handover_password';
CREATE DATABASE handover OWNER handover;
REVOKE ALL ON DATABASE handover FROM PUBLIC;
