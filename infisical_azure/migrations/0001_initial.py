import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import infisical_azure.fields
import uuid
from django.conf import settings
from django.db import migrations, models

from infisical_azure.conf import conf


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(conf.organization_model),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AppConnection',
            fields=[
                ('problem', models.CharField(blank=True, max_length=64, verbose_name='problem')),
                ('aadsts', models.PositiveIntegerField(editable=False, null=True, verbose_name='AADSTS number')),
                ('correlation_id', models.CharField(blank=True, max_length=64, verbose_name='correlation ID')),
                ('trace_id', models.CharField(blank=True, max_length=64, verbose_name='trace ID')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64, validators=[django.core.validators.RegexValidator('\\A[a-z0-9]+(?:-[a-z0-9]+)*\\Z', 'Use lower-case letters, digits and single hyphens between them, such as “my-connection”.')], verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=256, verbose_name='description')),
                ('app', models.CharField(choices=[('azure-client-secrets', 'Azure Client Secrets')], default='azure-client-secrets', max_length=64, verbose_name='app')),
                ('method', models.CharField(choices=[('oauth', 'OAuth')], default='oauth', max_length=32, verbose_name='method')),
                ('cloud', models.CharField(max_length=64, verbose_name='cloud')),
                ('tenant_id', models.UUIDField(verbose_name='directory (tenant) ID')),
                ('tenant_name', models.CharField(blank=True, max_length=256, verbose_name='directory')),
                ('tenant_domain', models.CharField(blank=True, max_length=256, verbose_name='directory domain')),
                ('account_object_id', models.UUIDField(verbose_name='account object ID')),
                ('account_name', models.CharField(blank=True, max_length=256, verbose_name='account name')),
                ('account_username', models.CharField(blank=True, max_length=256, verbose_name='account')),
                ('granted_scopes', models.JSONField(default=list, verbose_name='granted permissions')),
                ('status', models.CharField(choices=[('ready', 'Ready'), ('permission-missing', 'Permission missing'), ('retrying', 'Refreshing fails'), ('needs-reconnect', 'Needs reconnect'), ('needs-admin-approval', 'Needs admin approval'), ('operator-must-act', 'Operator must act')], max_length=32, verbose_name='status')),
                ('status_since', models.DateTimeField(default=django.utils.timezone.now, verbose_name='status since')),
                ('claims', models.TextField(blank=True, editable=False)),
                ('connected_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='connected')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='changed')),
                ('watched_at', models.DateTimeField(editable=False, null=True, verbose_name='directory last read')),
                ('watch_due_at', models.DateTimeField(db_index=True, editable=False, null=True)),
                ('connected_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='connected by')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=conf.organization_model, verbose_name='organization')),
            ],
            options={
                'verbose_name': 'app connection',
                'verbose_name_plural': 'app connections',
            },
        ),
        migrations.CreateModel(
            name='RotatedSecret',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('intended', 'To be issued'), ('issued', 'To be proven'), ('proven', 'To be delivered'), ('current', 'In use'), ('retiring', 'Superseded, still valid'), ('removed', 'Removed')], default='intended', max_length=16, verbose_name='state')),
                ('key_id', models.UUIDField(db_index=True, null=True, verbose_name='key ID')),
                ('intended_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='begun')),
                ('asked_at', models.DateTimeField(editable=False, null=True)),
                ('issued_at', models.DateTimeField(null=True, verbose_name='issued')),
                ('expires_at', models.DateTimeField(null=True, verbose_name='expires')),
                ('proven_at', models.DateTimeField(null=True, verbose_name='proven')),
                ('offered_at', models.DateTimeField(editable=False, null=True)),
                ('delivered_at', models.DateTimeField(null=True, verbose_name='delivered')),
                ('retire_at', models.DateTimeField(null=True, verbose_name='to be removed')),
                ('removed_at', models.DateTimeField(null=True, verbose_name='removed')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who')),
            ],
            options={
                'verbose_name': 'rotated client secret',
                'verbose_name_plural': 'rotated client secrets',
                'ordering': ['-intended_at'],
            },
        ),
        migrations.CreateModel(
            name='IssuedSecret',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('application_id', models.UUIDField(verbose_name="application's object ID")),
                ('app_id', models.UUIDField(verbose_name='application (client) ID')),
                ('application_name', models.CharField(blank=True, max_length=256, verbose_name='application')),
                ('name', models.CharField(max_length=256, verbose_name='name')),
                ('state', models.CharField(choices=[('asked', 'Under way'), ('issued', 'Issued'), ('uncertain', 'Uncertain: Microsoft did not answer')], default='asked', max_length=16, verbose_name='state')),
                ('key_id', models.UUIDField(null=True, verbose_name='key ID')),
                ('asked_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='asked for')),
                ('expires_at', models.DateTimeField(null=True, verbose_name='expires')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='issued_secrets', to='infisical_azure.appconnection')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'issued client secret',
                'verbose_name_plural': 'issued client secrets',
            },
        ),
        migrations.CreateModel(
            name='RefreshToken',
            fields=[
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('fence', models.PositiveBigIntegerField(default=0, editable=False)),
                ('connection', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='refresh_token', serialize=False, to='infisical_azure.appconnection')),
                ('secret', infisical_azure.fields.EncryptedTextField(bound_to=('pk',), verbose_name='refresh token')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('due_at', models.DateTimeField(db_index=True, null=True, verbose_name='next refresh')),
                ('revoked_at', models.DateTimeField(null=True, verbose_name='refused since')),
                ('next_try_at', models.DateTimeField(null=True, verbose_name='paused until')),
                ('failures', models.PositiveIntegerField(default=0, verbose_name='failures in a row')),
                ('refused', models.JSONField(default=dict, editable=False)),
            ],
            options={
                'verbose_name': 'refresh token',
                'verbose_name_plural': 'refresh tokens',
                'base_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='AccessToken',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('resource', models.CharField(max_length=256, verbose_name='resource')),
                ('secret', infisical_azure.fields.EncryptedTextField(bound_to=('connection_id', 'resource'), verbose_name='access token')),
                ('scopes', models.JSONField(default=list, verbose_name='granted permissions')),
                ('issued_at', models.DateTimeField(verbose_name='issued')),
                ('refresh_at', models.DateTimeField(verbose_name='refreshed from')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('used_at', models.DateTimeField(null=True, verbose_name='last used')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='access_tokens', to='infisical_azure.appconnection')),
            ],
            options={
                'verbose_name': 'access token',
                'verbose_name_plural': 'access tokens',
                'base_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='Authorization',
            fields=[
                ('problem', models.CharField(blank=True, max_length=64, verbose_name='problem')),
                ('aadsts', models.PositiveIntegerField(editable=False, null=True, verbose_name='AADSTS number')),
                ('correlation_id', models.CharField(blank=True, max_length=64, verbose_name='correlation ID')),
                ('trace_id', models.CharField(blank=True, max_length=64, verbose_name='trace ID')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('state_hash', models.CharField(max_length=64, unique=True)),
                ('browser_hash', models.CharField(max_length=64)),
                ('nonce_hash', models.CharField(max_length=64)),
                ('verifier', infisical_azure.fields.EncryptedTextField(bound_to=('pk',))),
                ('may_switch', models.BooleanField(default=False)),
                ('app', models.CharField(max_length=64)),
                ('name', models.CharField(max_length=64)),
                ('description', models.CharField(blank=True, max_length=256)),
                ('cloud', models.CharField(max_length=64)),
                ('tenant_id', models.UUIDField()),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('claimed_at', models.DateTimeField(null=True)),
                ('connection', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='infisical_azure.appconnection')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=conf.organization_model)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'authorization',
                'verbose_name_plural': 'authorizations',
            },
        ),
        migrations.CreateModel(
            name='Feed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token_hash', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created')),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=conf.organization_model, verbose_name='organization')),
            ],
            options={
                'verbose_name': 'calendar link',
                'verbose_name_plural': 'calendar links',
            },
        ),
        migrations.CreateModel(
            name='HeldSecret',
            fields=[
                ('of', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='held', serialize=False, to='infisical_azure.rotatedsecret')),
                ('secret', infisical_azure.fields.EncryptedTextField(bound_to=('pk',), verbose_name='client secret')),
            ],
        ),
        migrations.CreateModel(
            name='IssuedValue',
            fields=[
                ('of', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='value', serialize=False, to='infisical_azure.issuedsecret')),
                ('secret', infisical_azure.fields.EncryptedTextField(bound_to=('pk', 'user_id', 'organization_id'), verbose_name='client secret')),
                ('kept_until', models.DateTimeField(db_index=True)),
            ],
            options={
                'verbose_name': 'value of an issued client secret',
                'verbose_name_plural': 'values of issued client secrets',
            },
        ),
        migrations.CreateModel(
            name='Rotation',
            fields=[
                ('problem', models.CharField(blank=True, max_length=64, verbose_name='problem')),
                ('aadsts', models.PositiveIntegerField(editable=False, null=True, verbose_name='AADSTS number')),
                ('correlation_id', models.CharField(blank=True, max_length=64, verbose_name='correlation ID')),
                ('trace_id', models.CharField(blank=True, max_length=64, verbose_name='trace ID')),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('fence', models.PositiveBigIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('application_id', models.UUIDField(verbose_name="application's object ID")),
                ('app_id', models.UUIDField(verbose_name='application (client) ID')),
                ('application_name', models.CharField(blank=True, max_length=256, verbose_name='application')),
                ('interval', models.DurationField(verbose_name='interval')),
                ('lifetime', models.DurationField(verbose_name='lifetime')),
                ('overlap', models.DurationField(verbose_name='overlap')),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='next rotation')),
                ('paused_at', models.DateTimeField(null=True, verbose_name='paused since')),
                ('sweep_at', models.DateTimeField(editable=False, null=True)),
                ('missed_at', models.DateTimeField(editable=False, null=True)),
                ('wake_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False, null=True)),
                ('wished_at', models.DateTimeField(editable=False, null=True)),
                ('failures', models.PositiveIntegerField(default=0, verbose_name='failures in a row')),
                ('failing_since', models.DateTimeField(null=True, verbose_name='failing since')),
                ('told_at', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rotations', to='infisical_azure.appconnection')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by')),
                ('wanted_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'rotation',
                'verbose_name_plural': 'rotations',
            },
        ),
        migrations.AddField(
            model_name='rotatedsecret',
            name='rotation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='infisical_azure.rotation'),
        ),
        migrations.CreateModel(
            name='Destination',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('key-vault', 'Key Vault secret'), ('app-configuration', 'App Configuration key-value'), ('key-vault-reference', 'App Configuration reference to Key Vault'), ('hook', 'This site')], max_length=32, verbose_name='kind')),
                ('place', models.CharField(blank=True, max_length=64, verbose_name='vault or store')),
                ('name', models.CharField(max_length=256, verbose_name='name')),
                ('label', models.CharField(blank=True, max_length=256, verbose_name='label')),
                ('delivered_at', models.DateTimeField(null=True, verbose_name='delivered')),
                ('refers_to', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='references', to='infisical_azure.destination', verbose_name='Key Vault secret')),
                ('delivered', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='infisical_azure.rotatedsecret')),
                ('rotation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='destinations', to='infisical_azure.rotation')),
            ],
            options={
                'verbose_name': 'destination',
                'verbose_name_plural': 'destinations',
                'ordering': ['kind', 'place', 'name', 'label'],
            },
        ),
        migrations.CreateModel(
            name='SecretEvent',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('application_id', models.UUIDField(verbose_name="application's object ID")),
                ('application_name', models.CharField(blank=True, max_length=256, verbose_name='application')),
                ('key_id', models.UUIDField(null=True, verbose_name='key ID')),
                ('name', models.CharField(blank=True, max_length=256, verbose_name='name')),
                ('act', models.CharField(choices=[('issue', 'Issued'), ('remove', 'Removed')], max_length=16, verbose_name='act')),
                ('outcome', models.CharField(choices=[('begun', 'Under way'), ('done', 'Done'), ('failed', 'Failed'), ('uncertain', 'Uncertain: Microsoft did not answer')], default='begun', max_length=16, verbose_name='outcome')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='when')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secret_events', to='infisical_azure.appconnection')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who')),
            ],
            options={
                'verbose_name': 'client secret event',
                'verbose_name_plural': 'client secret events',
                'ordering': ['-at'],
            },
        ),
        migrations.CreateModel(
            name='WatchedSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('application_id', models.UUIDField(verbose_name="application's object ID")),
                ('app_id', models.UUIDField(db_index=True, verbose_name='application (client) ID')),
                ('application_name', models.CharField(blank=True, max_length=256, verbose_name='application')),
                ('key_id', models.UUIDField(verbose_name='key ID')),
                ('name', models.CharField(blank=True, max_length=256, verbose_name='name')),
                ('hint', models.CharField(blank=True, max_length=3, verbose_name='hint')),
                ('starts_at', models.DateTimeField(null=True, verbose_name='starts')),
                ('expires_at', models.DateTimeField(null=True, verbose_name='expires')),
                ('seen_at', models.DateTimeField(verbose_name='last seen')),
                ('warned_days', models.PositiveIntegerField(null=True, verbose_name='warned of')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='watched_secrets', to='infisical_azure.appconnection')),
            ],
            options={
                'verbose_name': 'watched client secret',
                'verbose_name_plural': 'watched client secrets',
            },
        ),
        migrations.AddConstraint(
            model_name='appconnection',
            constraint=models.UniqueConstraint(fields=('organization', 'name'), name='infisical_azure_name_once'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.UniqueConstraint(fields=('connection', 'resource'), name='infisical_azure_token_once'),
        ),
        migrations.AddConstraint(
            model_name='feed',
            constraint=models.UniqueConstraint(fields=('organization', 'created_by'), name='infisical_azure_feed_once'),
        ),
        migrations.AddField(
            model_name='issuedvalue',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=conf.organization_model),
        ),
        migrations.AddField(
            model_name='issuedvalue',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='rotation',
            constraint=models.UniqueConstraint(fields=('connection', 'application_id'), name='infisical_azure_rotation_once'),
        ),
        migrations.AddConstraint(
            model_name='rotatedsecret',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['intended', 'issued', 'proven'])), fields=('rotation',), name='infisical_azure_pending_once'),
        ),
        migrations.AddIndex(
            model_name='secretevent',
            index=models.Index(fields=['connection', 'application_id', '-at'], name='infisical_azure_history'),
        ),
        migrations.AddIndex(
            model_name='watchedsecret',
            index=models.Index(fields=['connection', 'expires_at'], name='infisical_azure_expiring'),
        ),
        migrations.AddConstraint(
            model_name='watchedsecret',
            constraint=models.UniqueConstraint(fields=('connection', 'key_id'), name='infisical_azure_watched_once'),
        ),
    ]
